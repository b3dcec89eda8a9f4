import { isDeepStrictEqual } from 'node:util'
import { type AccountId, type LiveInputId, newLiveInputId } from '../model/id.ts'
import type { LiveInput } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { keyOfDeleted, type Notice, notFound, noticeCode, success } from './envelope.ts'
import { after, keep, keptOnWire, noticesOn } from './kept.ts'
import { included, listQuery, pageOf } from './listing.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import {
  accountParams,
  deleted,
  inputParams,
  type LiveInputBody,
  listInfo,
  liveInputAnswer,
  liveInputBody,
  liveInputList,
  successOf,
  videoList,
} from './schemas.ts'
import type { Edit } from './wishes.ts'

const collection = '/accounts/:account_id/stream/live_inputs'
const listAnswer = successOf(liveInputList).extend({ result_info: listInfo.optional() })
const one = `${collection}/:input_id`
const effective = ['meta', 'enabled', 'reconnectWindowSeconds', 'reconnectWindowOnStopSeconds', 'holdPicture']

export function addLiveInputRoutes(routes: AccountRoutes, { projection, wishes, wire, idempotencyKeys }: Parts): void {
  routes.get(
    collection,
    { schema: { params: accountParams, querystring: listQuery, response: { 200: listAnswer } } },
    ({ params: { account_id }, query }) => {
      const page = pageOf(projection.list(account_id), query)
      const extras = included(query)
      const items = page.inputs.map((input) => wire.liveInputItem(input, extras))
      const { include_counts, ...ours } = query
      const counted = include_counts === 'true' || include_counts === '1'
      const answer = success(counted ? { liveInputs: items, range: items.length, total: page.total } : items)
      if (Object.keys(ours).length === 0) return answer
      const { total, cursor } = page
      return {
        ...answer,
        result_info: { count: items.length, total_count: total, ...(cursor !== undefined && { cursor }) },
      }
    },
  )

  routes.post(
    collection,
    { schema: { params: accountParams, body: liveInputBody, response: { 200: successOf(liveInputAnswer) } } },
    async ({ params: { account_id }, body, sentBody, headers }) => {
      const create = (uid: LiveInputId) => wishes.create(newInput(uid, account_id, wishes.stamp(), body))
      const key = headers['idempotency-key']
      if (key === undefined)
        return success(wire.liveInput(await create(newLiveInputId())), noticesOn(sentBody, effective))
      const exists = async (uid: LiveInputId) => (await wishes.find(account_id, uid)) !== undefined
      const outcome = await idempotencyKeys.once(account_id, String(key), { exists, create })
      if (outcome.type === 'made') return success(wire.liveInput(outcome.made), noticesOn(sentBody, effective))
      const input = await wishes.find(account_id, outcome.inputId)
      if (input === undefined) throw keyOfDeleted()
      return success(wire.liveInput(input), [{ code: noticeCode, message: replayed }])
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
      const notices = noticesOn(sentBody, effective)
      return success(wire.liveInput(input), body.enabled === null ? [enabledAgain, ...notices] : notices)
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

/** Null is the default for every field of the body; nobody should let encoders in without knowing. */
const enabledAgain: Notice = {
  code: noticeCode,
  message: 'null puts the default back, so encoders are let in. Send false to refuse them.',
  source: { pointer: '/enabled' },
}

const replayed = 'Nothing was created: this Idempotency-Key has made this live input before.'

function newInput(uid: LiveInputId, accountId: AccountId, created: string, body: LiveInputBody): LiveInput {
  const kept = keep(undefined, body)
  return {
    uid,
    accountId,
    created,
    modified: created,
    meta: body.meta ?? {},
    enabled: body.enabled ?? true,
    streamKey: newStreamKey(uid),
    ...holdingOf(body, {}),
    ...(Object.keys(kept).length > 0 && { kept }),
    outputs: [],
  }
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
  const { meta, enabled, kept } = input
  // As it is answered: who sends back what was read has changed nothing.
  return { meta, enabled, kept: keptOnWire(kept), ...holdingOf({}, input) }
}
