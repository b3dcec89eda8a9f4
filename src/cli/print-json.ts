import type { Invocation } from './command.ts'

/** What JSON leaves as it is, and a terminal may obey. */
const unescaped = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** As the API answered it, in plain text: nothing reaches a terminal that it could take for an order. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(unescaped, (found) => (found === '\n' ? found : escaped(found)))
}

export function printJson(invocation: Pick<Invocation, 'print'>, result: unknown): void {
  invocation.print(`${jsonText(result, 2)}\n`)
}

function escaped(text: string): string {
  return [...Array(text.length).keys()]
    .map((index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`)
    .join('')
}
