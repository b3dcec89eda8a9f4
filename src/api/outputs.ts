import type { Output } from '../model/live-input.ts'
import { adviceOnAddress, adviceOnDestination, adviceOnOptions, checkDestination } from './destination-check.ts'
import { invalid, type Notice, notFound, success } from './envelope.ts'
import { noticesOn } from './kept.ts'
import { editOutput, newOutput } from './output-edit.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import {
  deleted,
  inputParams,
  type OutputOptions,
  outputAnswer,
  outputBody,
  outputChange,
  outputFields,
  outputList,
  outputParams,
  successOf,
} from './schemas.ts'

const collection = '/accounts/:account_id/stream/live_inputs/:input_id/outputs'
const one = `${collection}/:output_id`

export function addOutputRoutes(
  routes: AccountRoutes,
  { projection, wishes, wire, policy, outputsMax, resumeSecondsMax }: Parts,
): void {
  const adviceOn = (output: Output): Notice[] => {
    const { url, streamKey } = output
    return [
      ...adviceOnDestination(url, streamKey.reveal()),
      ...(policy === undefined ? [] : adviceOnAddress(url, streamKey.reveal(), policy)),
      ...adviceOnOptions(output),
    ]
  }

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
      checkDestination(body.url, body.streamKey)
      checkResume(body, resumeSecondsMax)
      const output = newOutput(body, wishes.stamp())
      const input = await wishes.change(account_id, input_id, (before) => {
        if (before.outputs.length >= outputsMax)
          throw invalid(
            '',
            `This live input has ${outputsMax} outputs, the most that it may have. Delete one that is no longer needed, or raise STREAM_CONNECT_MAX_OUTPUTS.`,
          )
        return { ...before, outputs: [...before.outputs, output] }
      })
      return success(wire.output(input, output), [...adviceOn(output), ...noticesOn(sentBody, outputFields)])
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
      checkResume(body, resumeSecondsMax)
      const input = await wishes.change(account_id, input_id, (before) => {
        const output = before.outputs.find((candidate) => candidate.uid === output_id)
        if (output === undefined) throw notFound('output', output_id)
        const edited = editOutput(output, body)
        if (edited === output) return before
        // What was saved once can always be switched, whatever has been learnt of its url since.
        if (edited.url !== output.url || !edited.streamKey.equals(output.streamKey.reveal()))
          checkDestination(body.url ?? output.url, body.streamKey ?? output.streamKey.reveal())
        return { ...before, outputs: before.outputs.map((each) => (each === output ? edited : each)) }
      })
      const output = input.outputs.find((candidate) => candidate.uid === output_id)!
      // Who only switches an output has read the advice when adding it.
      const changesMore = Object.keys(body).some((name) => name !== 'enabled')
      return success(wire.output(input, output), [
        ...(changesMore ? adviceOn(output) : []),
        ...noticesOn(sentBody, outputFields),
      ])
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

/** @throws Refusal 10060: nothing can be sent again that is not kept. */
function checkResume({ resumeSeconds }: OutputOptions, max: number): void {
  if (resumeSeconds !== undefined && resumeSeconds !== null && resumeSeconds > max)
    throw invalid(
      '/resumeSeconds',
      `Must be from 0 to ${max}: the server keeps so many seconds of a broadcast. STREAM_CONNECT_BUFFER_MS sets it.`,
      10060,
    )
}
