import { createInterface } from 'node:readline'
import type { ReadStream } from 'node:tty'
import { WrongUsage } from './command.ts'

export type SecretInput = NodeJS.ReadStream | (NodeJS.ReadableStream & { readonly isTTY?: false })

/** Keys as a terminal sends them in raw mode. */
const interrupt = '\u0003'
const endOfInput = '\u0004'
const backspaces = ['\b', '\u007f']

/**
 * Secrets never stand in a command line, which every user of the machine can read. Each call gives the next line of standard
 * input; on a terminal it asks first, and does not show what is typed.
 */
export class SecretReader {
  readonly #input: SecretInput
  readonly #prompt: (text: string) => void
  #lines: AsyncIterator<string> | undefined

  constructor(input: SecretInput, prompt: (text: string) => void) {
    this.#input = input
    this.#prompt = prompt
  }

  /** @throws WrongUsage when there is nothing. */
  async read(name: string): Promise<string> {
    const text = this.#input.isTTY ? await this.#ask(name, this.#input) : await this.#nextLine()
    if (text === undefined || text === '')
      throw new WrongUsage(`Give the ${name} on standard input, as one line: … < file-with-the-key`)
    return text
  }

  async #nextLine(): Promise<string | undefined> {
    this.#lines ??= createInterface({ input: this.#input })[Symbol.asyncIterator]()
    const line = await this.#lines.next()
    return line.done ? undefined : line.value.trim()
  }

  #ask(name: string, input: ReadStream): Promise<string> {
    this.#prompt(`${name} (not shown): `)
    input.setRawMode(true)
    input.setEncoding('utf8')
    return new Promise((resolve, reject) => {
      let typed = ''
      const done = () => {
        input.off('data', onData).setRawMode(false).pause()
        this.#prompt('\n')
      }
      const onData = (keys: string) => {
        for (const key of keys) {
          if (key === interrupt || key === endOfInput) {
            done()
            reject(new WrongUsage('Nothing was done.'))
            return
          }
          if (key === '\r' || key === '\n') {
            done()
            resolve(typed.trim())
            return
          }
          typed = backspaces.includes(key) ? typed.slice(0, -1) : typed + key
        }
      }
      input.on('data', onData).resume()
    })
  }
}
