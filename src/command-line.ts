import { readFileSync } from 'node:fs'
import { CodedError } from './errors.ts'
import { flagOf, type Setting, settings, variablePrefix } from './settings.ts'

export type Command =
  | { readonly name: 'serve'; readonly flags: readonly string[] }
  | { readonly name: 'help' }
  | { readonly name: 'version' }

/**
 * What the command line asks for. `flags` go to readConfig.
 * @param argv process.argv from the third on.
 * @throws CodedError setting_unknown for a word that is no command.
 */
export function readCommand(argv: readonly string[]): Command {
  const asked = (...flags: string[]) => flags.some((flag) => argv.includes(flag))
  if (asked('--help', '-h')) return { name: 'help' }
  if (asked('--version', '-v')) return { name: 'version' }
  const first = argv[0]
  if (first !== undefined && !first.startsWith('-'))
    throw new CodedError(
      'setting_unknown',
      `"${first.replace(/\p{C}/gu, '?').slice(0, 60)}" is not a command of this server; --help lists all there are.`,
    )
  return { name: 'serve', flags: argv }
}

/** The version in package.json. */
export function versionText(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}

/** For `--help`: the commands (printed elsewhere), and all settings. */
export function helpText(commands: string): string {
  const list: readonly Setting[] = Object.values(settings)
  const entries = list.map((one) => {
    const flag = flagOf(one)
    const names = flag === undefined ? variablePrefix + one.name : `${flag}, ${variablePrefix}${one.name}`
    const notes = [
      one.unit === undefined ? '' : `Unit: ${one.unit}.`,
      `Default: ${defaultText(one)}.`,
      one.withoutEffect ? 'Has no effect in this version.' : '',
    ]
    return `  ${names}\n${wrap([one.meaning, ...notes].filter((note) => note !== '').join(' '), 96, '      ')}`
  })
  return `stream-connect ${versionText()}: one RTMP or RTMPS feed in, many outputs, controlled over HTTP.

Usage: stream-connect [flags]              starts the server (npm start -- [flags] does the same)
       stream-connect COMMAND [options]    speaks to it

  --help       prints this
  --version    prints the version

Commands:

${commands}

Settings: each is an environment variable and, unless it is a secret, a flag. The flag wins; an empty value counts as not set.

${entries.join('\n')}
`
}

/** A setting's default in words. */
export function defaultText(one: Setting): string {
  return one.defaultNote ?? one.default ?? 'none'
}

function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length >= width) {
      lines.push(indent + line)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  return [...lines, indent + line].join('\n')
}
