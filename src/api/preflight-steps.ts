import type { FastifyReply } from 'fastify'
import type { Bus, Plain } from '../bus/bus.ts'
import { CodedError } from '../errors.ts'
import { type PreflightEvent, preflightStepsSubject } from '../model/preflight.ts'
import { failure, type Notice, refused, success } from './envelope.ts'

const lines = 'application/x-ndjson'
/** All that is told of one try-out, many times over. */
const creditBytes = 256 * 1024

export function wantsSteps(accept: string | undefined): boolean {
  return accept?.includes(lines) ?? false
}

/**
 * Answers a try-out while it goes on: `{"begun": name}` and `{"ended": step}` for each step, one JSON document a line, and the envelope as
 * the last line, with the report, or why there is none.
 * @param signal ends it: nobody listens any more, or it took too long
 * @throws CodedError no_responder, before anything is answered
 */
export async function tellSteps(
  reply: FastifyReply,
  bus: Bus,
  request: Plain,
  notices: readonly Notice[],
  signal: AbortSignal,
): Promise<void> {
  const response = reply.raw
  const begin = () => {
    if (response.headersSent) return
    reply.hijack()
    for (const [name, value] of Object.entries({
      ...reply.getHeaders(),
      'content-type': lines,
      'x-accel-buffering': 'no',
    }))
      if (value !== undefined) response.setHeader(name, value)
  }
  const tell = (line: object) => {
    begin()
    response.write(`${JSON.stringify(line)}\n`)
  }
  try {
    for await (const event of eventsIn(bus.stream(preflightStepsSubject, request, { creditBytes, signal })))
      tell('report' in event ? success(event.report, notices) : event)
    // Without its report, it was cut off.
    if (signal.aborted) tell(failure(refused(503).errors))
  } catch (error) {
    if (!response.headersSent) throw error
    tell(failure(refused(error instanceof CodedError ? 503 : 500).errors))
  }
  begin()
  response.end()
}

async function* eventsIn(stream: AsyncIterable<Uint8Array>): AsyncGenerator<PreflightEvent> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of stream) {
    const parts = (text + decoder.decode(bytes, { stream: true })).split('\n')
    text = parts.pop() ?? ''
    for (const part of parts) yield JSON.parse(part) as PreflightEvent
  }
}
