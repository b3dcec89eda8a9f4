import type { Command, Option } from './command.ts'

/** Options of every command. */
export const commonOptions = {
  account: { value: 'ACCOUNT', meaning: 'which account; without it: the first that the token may use' },
  json: { meaning: 'prints what the API answered, as JSON, in place of a table' },
  'api-url': { value: 'URL', meaning: 'where the server is; without it: the one that runs on the data directory' },
  'data-dir': { value: 'FOLDER', meaning: 'the DATA_DIR of the server; without it: the setting, or ./data' },
  'token-file': {
    value: 'FILE',
    meaning: 'a file with the token; without it: STREAM_CONNECT_API_TOKEN, or DATA_DIR/api-token',
  },
  help: { meaning: 'says what a command does' },
} as const satisfies Readonly<Record<string, Option>>

const statusLines = `Exit status: 0 done, 1 refused by the server, 2 wrong usage, 3 server not reachable.`

/** For the help of the whole program. */
export function commandsText(commands: readonly Command[]): string {
  const groups = [...new Set(commands.map(({ words: [group] }) => group))]
  return `${groups.map((group) => list(commands, group)).join('\n')}
  Each explains itself: stream-connect token create --help. They speak to the server that runs on the data directory
  (./data, or --data-dir), or at --api-url; token and account commands work without a server, too.
  ${statusLines}
`
}

/** `stream-connect token --help` */
export function groupText(commands: readonly Command[], group: string): string {
  return `Usage: stream-connect ${group} COMMAND [options]

${list(commands, group)}
Each explains itself: stream-connect ${group} ${namesOf(commands, group)[0]} --help
${optionsText('Options of each', commonOptions)}
${statusLines}
`
}

export function commandText({ words, takes, options, summary, details, examples }: Command): string {
  const usage = ['stream-connect', ...words, ...takes, ...requiredOf(options), '[options]'].join(' ')
  return `Usage: ${usage}

${wrap(`${summary[0]?.toUpperCase()}${summary.slice(1)}.${details === undefined ? '' : ` ${details}`}`, '')}

Examples:
${examples.map((example) => `  ${example}\n`).join('')}${optionsText('Options', options)}${optionsText('Options of each command', commonOptions)}
${statusLines}
`
}

export function namesOf(commands: readonly Command[], group: string): readonly string[] {
  return commands.flatMap(({ words: [first, name] }) => (first === group && name !== undefined ? [name] : []))
}

function list(commands: readonly Command[], group: string): string {
  return commands
    .filter(({ words }) => words[0] === group)
    .map(({ words, takes, summary }) => `  ${[...words, ...takes].join(' ').padEnd(30)} ${summary}\n`)
    .join('')
}

function requiredOf(options: Command['options']): readonly string[] {
  return Object.entries(options)
    .filter(([, { isRequired }]) => isRequired)
    .map(([name, { value }]) => `--${name} ${value}`)
}

function optionsText(title: string, options: Command['options']): string {
  const entries = Object.entries(options)
  if (entries.length === 0) return ''
  const width = Math.max(...entries.map(([name, { value }]) => spelled(name, value).length))
  const lines = entries.map(([name, { value, meaning }]) => {
    const indent = ' '.repeat(width + 4)
    return `  ${spelled(name, value).padEnd(width)}  ${wrap(meaning, indent).trimStart()}\n`
  })
  return `\n${title}:\n${lines.join('')}`
}

function spelled(name: string, value: string | undefined): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`
}

function wrap(text: string, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + word.length >= 100) {
      lines.push(indent + line)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  return [...lines, indent + line].join('\n')
}
