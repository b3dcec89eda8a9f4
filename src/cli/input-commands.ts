import type { WireLiveInput, WireLiveInputItem } from '../api/schemas.ts'
import { type Command, WrongUsage } from './command.ts'
import { inputState, nameOf } from './in-words.ts'
import { inputPath, inputsPath } from './paths.ts'
import { printJson } from './print-json.ts'
import { sheet, table } from './table.ts'
import { watchInput, watchOptions } from './watch.ts'

/** A list with `include=status` has more than the bare one. */
type ListedInput = WireLiveInputItem & { readonly status?: WireLiveInput['status'] }

function switchedTo(state: 'enable' | 'disable', summary: string): Command {
  return {
    words: ['input', state],
    takes: ['INPUT'],
    summary,
    options: {},
    examples: [`stream-connect input ${state} $INPUT`],
    async run(invocation) {
      const { result } = await invocation.api.call<WireLiveInput>('POST', `${await inputPath(invocation)}/${state}`)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(`${state}d ${result.uid}\n`)
    },
  }
}

export const inputCommands: readonly Command[] = [
  {
    words: ['input', 'list'],
    takes: [],
    summary: 'lists the live inputs, the newest first',
    options: {},
    examples: ['stream-connect input list', "stream-connect input list --json | jq -r '.[].uid'"],
    async run(invocation) {
      const path = `${await inputsPath(invocation)}?include=status`
      const { result } = await invocation.api.call<ListedInput[] | { liveInputs: ListedInput[] }>('GET', path)
      const inputs = Array.isArray(result) ? result : result.liveInputs
      if (invocation.isJson) return printJson(invocation, inputs)
      invocation.print(
        table(
          ['INPUT', 'NAME', 'STATE', 'ENABLED', 'CREATED'],
          inputs.map((input) => [
            input.uid,
            nameOf(input),
            inputState({ status: input.status ?? null }),
            input.enabled ? 'yes' : 'no',
            input.created.replace(/\.\d+Z$/, 'Z'),
          ]),
        ),
      )
    },
  },
  {
    words: ['input', 'create'],
    takes: [],
    summary: 'makes a live input, and prints where an encoder sends and with which key',
    options: {
      name: { value: 'NAME', meaning: 'what people call it (meta.name)' },
      meta: { value: 'JSON', meaning: 'further fields to keep with it, as a JSON object' },
      disabled: { meaning: 'does not let encoders in before it is enabled' },
    },
    examples: [
      'stream-connect input create --name "Sunday service"',
      'KEY=$(stream-connect input create --name test --json | jq -r .rtmps.streamKey)',
    ],
    async run(invocation) {
      const name = invocation.option('name')
      const body = {
        meta: { ...metaOf(invocation.option('meta')), ...(name !== undefined && { name }) },
        enabled: !invocation.flag('disabled'),
      }
      const { result } = await invocation.api.call<WireLiveInput>('POST', await inputsPath(invocation), body)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(inputSheet(result))
    },
  },
  {
    words: ['input', 'show'],
    takes: ['INPUT'],
    summary: 'shows one live input, with the addresses and the key for its encoder',
    options: {},
    examples: ['stream-connect input show $INPUT'],
    async run(invocation) {
      const { result } = await invocation.api.call<WireLiveInput>('GET', await inputPath(invocation))
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(inputSheet(result))
    },
  },
  switchedTo('enable', 'lets encoders in again'),
  switchedTo('disable', 'cuts the encoder that sends, ends the broadcast, and lets nobody in'),
  {
    words: ['input', 'delete'],
    takes: ['INPUT'],
    summary: 'removes a live input with its outputs; a broadcast ends at once',
    options: {},
    examples: ['stream-connect input delete $INPUT'],
    async run(invocation) {
      await invocation.api.call('DELETE', await inputPath(invocation))
      if (invocation.isJson) return printJson(invocation, {})
      invocation.print(`deleted ${invocation.given[0]}\n`)
    },
  },
  {
    words: ['input', 'watch'],
    takes: ['INPUT'],
    summary: 'shows live figures of an input and its outputs until it is interrupted (Ctrl-C)',
    details:
      'On a terminal the figures stay in place. Elsewhere they are written one after the other; with --json one JSON object a line, without any key.',
    options: watchOptions,
    examples: [
      'stream-connect input watch $INPUT',
      "stream-connect input watch $INPUT --json | jq -c '.outputs[] | {name, state: .status.current.state}'",
      'stream-connect input watch $INPUT --count 1',
    ],
    run: async (invocation) => watchInput(invocation, await inputPath(invocation)),
  },
]

function inputSheet(input: WireLiveInput): string {
  const { uid, enabled, rtmps, rtmp } = input
  return sheet([
    ['Input', uid],
    ['Name', nameOf(input) || undefined],
    ['Enabled', enabled ? 'yes' : 'no'],
    ['State', inputState(input)],
    ['RTMPS', rtmps?.url],
    ['RTMP', rtmp?.url],
    ['Stream key', (rtmps ?? rtmp)?.streamKey],
  ])
}

function metaOf(text: string | undefined): object {
  if (text === undefined) return {}
  try {
    const meta: unknown = JSON.parse(text)
    if (typeof meta === 'object' && meta !== null && !Array.isArray(meta)) return meta
  } catch {
    // Said below.
  }
  throw new WrongUsage(`--meta is a JSON object, for example '{"room": 7}'.`)
}
