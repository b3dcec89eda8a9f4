import { type Destination, parseDestination } from '../destination/destination-url.ts'
import { lintDestination } from '../destination/lint.ts'
import { newOutputId } from '../model/id.ts'
import type { Output } from '../model/live-input.ts'
import { invalid, invalidBecause, type Notice, notFound, noticeCode, success } from './envelope.ts'
import { noticesOn } from './kept.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import {
  deleted,
  inputParams,
  type OutputChange,
  outputAnswer,
  outputBody,
  outputChange,
  outputList,
  outputParams,
  successOf,
} from './schemas.ts'

const collection = '/accounts/:account_id/stream/live_inputs/:input_id/outputs'
const one = `${collection}/:output_id`

export function addOutputRoutes(routes: AccountRoutes, { projection, wishes, wire, outputsMax }: Parts): void {
  routes.get(
    collection,
    { schema: { params: inputParams, response: { 200: successOf(outputList) } } },
    ({ params: { account_id, input_id } }) => {
      const stored = projection.find(account_id, input_id)
      if (stored === undefined) throw notFound('live input', input_id)
      return success(stored.input.outputs.map((output) => wire.output(stored.input, output)))
    },
  )

  routes.post(
    collection,
    { schema: { params: inputParams, body: outputBody, response: { 200: successOf(outputAnswer) } } },
    async ({ params: { account_id, input_id }, body, sentBody }) => {
      const { streamKey } = readDestination(body.url, body.streamKey)
      const output: Output = {
        uid: newOutputId(),
        url: body.url.trim(),
        streamKey,
        enabled: body.enabled ?? true,
        created: wishes.stamp(),
      }
      const input = await wishes.change(account_id, input_id, (before) => {
        if (before.outputs.length >= outputsMax)
          throw invalid(
            '',
            `This live input has ${outputsMax} outputs, the most that it may have. Delete one that is no longer needed, or raise MAX_OUTPUTS.`,
          )
        return { ...before, outputs: [...before.outputs, output] }
      })
      return success(wire.output(input, output), [
        ...advice(body.url, body.streamKey),
        ...noticesOn(sentBody, ['url', 'streamKey', 'enabled']),
      ])
    },
  )

  routes.get(
    one,
    { schema: { params: outputParams, response: { 200: successOf(outputAnswer) } } },
    ({ params: { account_id, input_id, output_id } }) => {
      const stored = projection.find(account_id, input_id)
      const output = stored?.input.outputs.find((candidate) => candidate.uid === output_id)
      if (stored === undefined || output === undefined) throw notFound('output', output_id)
      return success(wire.output(stored.input, output))
    },
  )

  routes.put(
    one,
    { schema: { params: outputParams, body: outputChange, response: { 200: successOf(outputAnswer) } } },
    async ({ params: { account_id, input_id, output_id }, body, sentBody }) => {
      const input = await wishes.change(account_id, input_id, (before) => {
        const output = before.outputs.find((candidate) => candidate.uid === output_id)
        if (output === undefined) throw notFound('output', output_id)
        const changed = withChange(output, body)
        if (changed === output) return before
        return { ...before, outputs: before.outputs.map((each) => (each === output ? changed : each)) }
      })
      const output = input.outputs.find((candidate) => candidate.uid === output_id)!
      return success(wire.output(input, output), noticesOn(sentBody, ['url', 'streamKey', 'enabled']))
    },
  )

  routes.delete(
    one,
    { schema: { params: outputParams, response: { 200: deleted } } },
    async ({ params: { account_id, input_id, output_id } }) => {
      await wishes.change(account_id, input_id, (before) => {
        const outputs = before.outputs.filter((output) => output.uid !== output_id)
        if (outputs.length === before.outputs.length) throw notFound('output', output_id)
        return { ...before, outputs }
      })
      return {}
    },
  )
}

/** @throws Refusal with every problem at once. */
function readDestination(url: string, streamKey: string): Destination {
  // White space around a key is a slip of the mouse; a line break in what was pasted means that more than the key came along.
  if (/[\r\n\u2028\u2029]/.test(streamKey))
    throw invalid('/streamKey', 'The streamKey contains line breaks. Copy the key alone, in one line.')
  if (!streamKey.isWellFormed() || !url.isWellFormed())
    throw invalid(url.isWellFormed() ? '/streamKey' : '/url', 'Contains half a character. Copy it again.')
  const parsed = parseDestination(url, streamKey)
  if (parsed.ok) return parsed.destination
  throw invalidBecause(
    parsed.problems.map(({ field, message }) => ({ code: 10005, message, source: { pointer: `/${field}` } })),
  )
}

/**
 * What looks wrong and may yet be meant, however sure the lint is: a destination of one's own may look like a platform's, and the
 * documented example has a placeholder for its key.
 */
function advice(url: string, streamKey: string): Notice[] {
  return lintDestination(url, streamKey).map(({ field, message }) => ({
    code: noticeCode,
    message,
    source: { pointer: `/${field}` },
  }))
}

function withChange(output: Output, change: OutputChange): Output {
  if (change.url !== undefined && change.url.trim() !== output.url)
    throw invalid('/url', 'The url of an output cannot be changed. Add an output with the new url and delete this one.')
  if (change.streamKey !== undefined && change.streamKey.trim() !== output.streamKey.reveal())
    throw invalid(
      '/streamKey',
      'The streamKey of an output cannot be changed. Add an output with the new streamKey and delete this one.',
    )
  return change.enabled === output.enabled ? output : { ...output, enabled: change.enabled }
}
