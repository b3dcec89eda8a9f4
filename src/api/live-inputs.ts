import { isDeepStrictEqual } from 'node:util'
import { newLiveInputId } from '../model/id.ts'
import type { LiveInput } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { notFound, success } from './envelope.ts'
import { after, keep, noticesOn } from './kept.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import {
  accountParams,
  deleted,
  inputParams,
  type LiveInputBody,
  listQuery,
  liveInputAnswer,
  liveInputBody,
  liveInputList,
  successOf,
  videoList,
} from './schemas.ts'
import type { Edit } from './wishes.ts'

const collection = '/accounts/:account_id/stream/live_inputs'
const one = `${collection}/:input_id`
const effective = ['meta', 'enabled', 'reconnectWindowSeconds', 'reconnectWindowOnStopSeconds', 'holdPicture']

export function addLiveInputRoutes(routes: AccountRoutes, { projection, wishes, wire }: Parts): void {
  routes.get(
    collection,
    { schema: { params: accountParams, querystring: listQuery, response: { 200: successOf(liveInputList) } } },
    (request) => {
      const items = projection.list(request.params.account_id).map((input) => wire.liveInputItem(input))
      const counted = request.query.include_counts === 'true' || request.query.include_counts === '1'
      return success(counted ? { liveInputs: items, range: items.length, total: items.length } : items)
    },
  )

  routes.post(
    collection,
    { schema: { params: accountParams, body: liveInputBody, response: { 200: successOf(liveInputAnswer) } } },
    async (request) => {
      const uid = newLiveInputId()
      const created = wishes.stamp()
      const kept = keep(undefined, request.body)
      const input = await wishes.create({
        uid,
        accountId: request.params.account_id,
        created,
        modified: created,
        meta: request.body.meta ?? {},
        enabled: request.body.enabled ?? true,
        streamKey: newStreamKey(uid),
        ...holdingOf(request.body, {}),
        ...(Object.keys(kept).length > 0 && { kept }),
        outputs: [],
      })
      return success(wire.liveInput(input), noticesOn(request.sentBody, effective))
    },
  )

  routes.get(
    one,
    { schema: { params: inputParams, response: { 200: successOf(liveInputAnswer) } } },
    ({ params: { account_id, input_id } }) => {
      const stored = projection.find(account_id, input_id)
      if (stored === undefined) throw notFound('live input', input_id)
      return success(wire.liveInput(stored.input))
    },
  )

  routes.put(
    one,
    { schema: { params: inputParams, body: liveInputBody, response: { 200: successOf(liveInputAnswer) } } },
    async ({ params: { account_id, input_id }, body, sentBody }) => {
      const input = await wishes.change(account_id, input_id, (before) => withBody(before, body))
      return success(wire.liveInput(input), noticesOn(sentBody, effective))
    },
  )

  routes.delete(
    one,
    { schema: { params: inputParams, response: { 200: deleted } } },
    async ({ params: { account_id, input_id } }) => {
      await wishes.remove(account_id, input_id)
      return {}
    },
  )

  const actions: Readonly<Record<string, Edit>> = {
    enable: (input) => (input.enabled ? input : { ...input, enabled: true }),
    disable: (input) => (input.enabled ? { ...input, enabled: false } : input),
    rotate_keys: (input) => ({ ...input, streamKey: newStreamKey(input.uid), keysRotatedAt: wishes.stamp() }),
  }
  for (const [name, edit] of Object.entries(actions))
    routes.post(
      `${one}/${name}`,
      { schema: { params: inputParams, response: { 200: successOf(liveInputAnswer) } } },
      async ({ params: { account_id, input_id } }) =>
        success(wire.liveInput(await wishes.change(account_id, input_id, edit))),
    )

  routes.get(
    `${one}/videos`,
    { schema: { params: inputParams, response: { 200: successOf(videoList) } } },
    ({ params: { account_id, input_id } }) => {
      if (projection.find(account_id, input_id) === undefined) throw notFound('live input', input_id)
      return success([])
    },
  )
}

function withBody(input: LiveInput, body: LiveInputBody): LiveInput {
  const { reconnectWindowSeconds, reconnectWindowOnStopSeconds, holdPicture, ...others } = input
  const changed: LiveInput = {
    ...others,
    meta: body.meta === undefined ? input.meta : (body.meta ?? {}),
    enabled: body.enabled === undefined ? input.enabled : (body.enabled ?? true),
    kept: keep(input.kept, body),
    ...holdingOf(body, input),
  }
  return isDeepStrictEqual(settingsOf(changed), settingsOf(input)) ? input : changed
}

type Holding = Pick<LiveInput, 'reconnectWindowSeconds' | 'reconnectWindowOnStopSeconds' | 'holdPicture'>

/** What happens while an encoder is away. Absent leaves as it is, `null` gives back to the server's default. */
function holdingOf(body: LiveInputBody, before: Holding): Holding {
  const reconnectWindowSeconds = after(before.reconnectWindowSeconds, body.reconnectWindowSeconds)
  const reconnectWindowOnStopSeconds = after(before.reconnectWindowOnStopSeconds, body.reconnectWindowOnStopSeconds)
  const holdPicture = after(before.holdPicture, body.holdPicture)
  return {
    ...(reconnectWindowSeconds !== undefined && { reconnectWindowSeconds }),
    ...(reconnectWindowOnStopSeconds !== undefined && { reconnectWindowOnStopSeconds }),
    ...(holdPicture !== undefined && { holdPicture }),
  }
}

/** All that a body can change; no secrets, which look alike to a comparison. */
function settingsOf(input: LiveInput): object {
  const { meta, enabled, kept = {} } = input
  return { meta, enabled, kept, ...holdingOf({}, input) }
}
