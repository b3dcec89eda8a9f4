import type { WireOutput } from '../api/schemas.ts'
import type { Command } from './command.ts'
import { outputState } from './in-words.ts'
import { inputPath, outputPath } from './paths.ts'
import { printJson } from './print-json.ts'
import { sheet, table } from './table.ts'
import { watchInput, watchOptions } from './watch.ts'

function switchedTo(state: 'enable' | 'disable', summary: string): Command {
  return {
    words: ['output', state],
    takes: ['INPUT', 'OUTPUT'],
    summary,
    options: {},
    examples: [`stream-connect output ${state} $INPUT $OUTPUT`],
    async run(invocation) {
      const { result } = await invocation.api.call<WireOutput>('PUT', await outputPath(invocation), {
        enabled: state === 'enable',
      })
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(`${state}d ${result.uid}\n`)
    },
  }
}

export const outputCommands: readonly Command[] = [
  {
    words: ['output', 'list'],
    takes: ['INPUT'],
    summary: 'lists the outputs of a live input, with their state and the reason for it',
    details: 'The table shows no stream keys; --json is the answer of the API, which has them.',
    options: {},
    examples: [
      'stream-connect output list $INPUT',
      "stream-connect output list $INPUT --json | jq -r '.[] | [.uid, .status.current.state] | @tsv'",
    ],
    async run(invocation) {
      const { result } = await invocation.api.call<WireOutput[]>('GET', `${await inputPath(invocation)}/outputs`)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(
        table(
          ['OUTPUT', 'NAME', 'URL', 'ENABLED', 'STATE'],
          result.map((output) => [
            output.uid,
            output.name ?? '',
            output.url,
            output.enabled ? 'yes' : 'no',
            outputState(output),
          ]),
        ),
      )
    },
  },
  {
    words: ['output', 'create'],
    takes: ['INPUT'],
    summary: 'adds a destination to a live input; a broadcast that runs is sent there at once',
    details:
      'The stream key is read from standard input, one line; on a terminal it is asked for and not shown. With --username the password is the line after it.',
    options: {
      url: { value: 'URL', meaning: 'rtmp:// or rtmps://, as the platform shows it', isRequired: true },
      name: { value: 'NAME', meaning: 'what people call it' },
      username: { value: 'USER', meaning: 'for a server that asks for a login' },
      disabled: { meaning: 'sends nothing before it is enabled' },
    },
    examples: [
      'stream-connect output create $INPUT --url rtmp://a.rtmp.youtube.com/live2 < youtube.key',
      'stream-connect output create $INPUT --name Twitch --url rtmps://live.twitch.tv/app',
    ],
    async run(invocation) {
      const name = invocation.option('name')
      const username = invocation.option('username')
      const body = {
        url: invocation.option('url'),
        streamKey: await invocation.readSecret('stream key'),
        enabled: !invocation.flag('disabled'),
        ...(name !== undefined && { name }),
        ...(username !== undefined && { username, password: await invocation.readSecret('password') }),
      }
      const { result } = await invocation.api.call<WireOutput>('POST', `${await inputPath(invocation)}/outputs`, body)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(
        sheet([
          ['Output', result.uid],
          ['Name', result.name],
          ['Url', result.url],
          ['Enabled', result.enabled ? 'yes' : 'no'],
        ]),
      )
    },
  },
  switchedTo('enable', 'connects to the destination, and sends whenever the input is live'),
  switchedTo('disable', 'says goodbye to the destination, and sends nothing until it is enabled'),
  {
    words: ['output', 'delete'],
    takes: ['INPUT', 'OUTPUT'],
    summary: 'removes a destination; the others notice nothing',
    options: {},
    examples: ['stream-connect output delete $INPUT $OUTPUT'],
    async run(invocation) {
      await invocation.api.call('DELETE', await outputPath(invocation))
      if (invocation.isJson) return printJson(invocation, {})
      invocation.print(`deleted ${invocation.given[1]}\n`)
    },
  },
  {
    words: ['output', 'watch'],
    takes: ['INPUT', 'OUTPUT'],
    summary: 'shows live figures of one output until it is interrupted (Ctrl-C)',
    details:
      'As input watch, with this output alone. It ends with status 1 when the output is removed. With --json one JSON object a line, without any key.',
    options: watchOptions,
    examples: [
      'stream-connect output watch $INPUT $OUTPUT',
      "stream-connect output watch $INPUT $OUTPUT --json | jq -r '.outputs[].status.current.state'",
    ],
    run: async (invocation) => watchInput(invocation, await inputPath(invocation), invocation.given[1]),
  },
]
