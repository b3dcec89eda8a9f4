import { type OutputErrorCode, outputErrorCodes } from '../src/errors.ts'
import { RetryPolicy } from '../src/live/retry-policy.ts'
import {
  connectingSteps,
  type InputState,
  type InputStateName,
  inputTransitions,
  inputWords,
  type OutputState,
  type OutputStateName,
  outputTransitions,
  outputWords,
} from '../src/model/lifecycle.ts'
import { markdownTable, printedFrom } from './markdown.ts'

const outputMeanings: Readonly<Record<OutputStateName, string>> = {
  idle: 'there is no publisher: nothing to send',
  connecting: 'on the way: the step says how far',
  connected: 'the destination has accepted the publish and then taken media for 5 s',
  reconnecting: 'lost, or not reached; tried again within 30 s',
  error: 'refused in a way that quick retries will not cure; tried again about once a minute',
  disabled: 'switched off by a person',
}

const inputMeanings: Readonly<Record<InputStateName, string>> = {
  disconnected: 'nobody publishes',
  connected: 'an encoder publishes',
  held: 'the encoder has vanished; the outputs stay connected until the reconnect window ends',
}

/** One state of each name, for asking which words it has on the wire. */
const outputStates: { readonly [Name in OutputStateName]: Extract<OutputState, { readonly name: Name }> } = {
  idle: { name: 'idle' },
  connecting: { name: 'connecting', step: 'resolving' },
  connected: { name: 'connected' },
  reconnecting: { name: 'reconnecting', reason: 'no_progress', nextAttemptAt: 0 },
  error: { name: 'error', reason: 'publish_denied', nextAttemptAt: 0 },
  disabled: { name: 'disabled' },
}
const inputStates: { readonly [Name in InputStateName]: Extract<InputState, { readonly name: Name }> } = {
  disconnected: { name: 'disconnected' },
  connected: { name: 'connected' },
  held: { name: 'held', until: 0 },
}

/** docs/states.md: both lifecycles as charts, and what the API says in each state. */
export function statesPage(): string {
  return `${printedFrom('src/model/lifecycle.ts and src/live/retry-policy.ts')}
# States

On the wire \`status.current\` and \`status.history\` of live inputs and outputs have Cloudflare's words; \`status\` is null before anything
has happened.

## Outputs

${chart(outputTransitions, 'idle')}
${markdownTable(
  ['state', 'meaning', '`state` on the wire', '`reason`'],
  namesOf(outputMeanings).map((name) => [
    name,
    outputMeanings[name],
    `\`${outputWords(outputStates[name]).state}\``,
    outputReason(name),
  ]),
)}
The steps of \`connecting\`, in their order: ${connectingSteps.map((step) => `\`${step}\``).join(', ')}.

While an input is held, its outputs stay \`connected\`, and nothing is held against a destination that closes then.

### Reasons

After a failure an output is \`reconnecting\` or in \`error\`; \`status.current.nextAttemptAt\` says when it is tried again, and
[error-codes.md](error-codes.md) what the reason means. The waits of \`reconnecting\` grow from 1 s to 30 s, with chance, and begin anew after
30 s of real publishing. Two reasons become \`error\` only in the end: \`closed_after_publish\` at the second in a row, at once, and
\`already_publishing\` when it has gone on for 90 s, for so long a destination may hold the key of a dead session.

${markdownTable(
  ['reason', 'at first', 'in the end'],
  namesOf(outputErrorCodes).map((code) => [`\`${code}\``, ...statesAfter(code)]),
)}
## Live inputs

${chart(inputTransitions, 'disconnected')}
${markdownTable(
  ['state', 'meaning', '`state` on the wire', '`reason`'],
  namesOf(inputMeanings).map((name) => {
    const { state, reason } = inputWords(inputStates[name], false)
    const returning = inputWords(inputStates[name], true).reason
    const comeback = returning === reason ? '' : `; after \`held\`: \`${returning}\``
    return [name, inputMeanings[name], `\`${state}\``, `\`${reason}\`${comeback}`]
  }),
)}`
}

function chart(transitions: Readonly<Record<string, readonly string[]>>, start: string): string {
  const arrows = Object.entries(transitions).flatMap(([from, all]) => all.map((to) => `    ${from} --> ${to}`))
  return ['```mermaid', 'stateDiagram-v2', `    [*] --> ${start}`, ...arrows, '```', ''].join('\n')
}

function outputReason(name: OutputStateName): string {
  if (name === 'connecting') return 'the step'
  if (name === 'reconnecting' || name === 'error') return 'the reason of the failure: see below'
  return `\`${outputWords(outputStates[name]).reason}\``
}

/** What the retry policy itself says. */
function statesAfter(code: OutputErrorCode): string[] {
  const policy = new RetryPolicy(() => 0)
  return [policy.failed(code, 0), policy.failed(code, 120_000)].map(({ state }) => `\`${state}\``)
}

function namesOf<Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(record) as Name[]
}
