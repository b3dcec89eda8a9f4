import type { WireLiveInput, WireOutput } from '../api/schemas.ts'
import { sleep } from '../clock.ts'
import { type Invocation, RefusedByServer, WrongUsage } from './command.ts'
import { inputState, nameOf, outputState } from './in-words.ts'
import { jsonText } from './print-json.ts'
import { printable, table } from './table.ts'

/** Two requests each time: at this pace a quarter of what one token may ask for (1,200 in five minutes). */
const intervalSecondsDefault = 2
const intervalSecondsMax = 3_600
/** ECMA-48: cursor to the upper left corner; erase from there to the end. Keeps what is above in the scroll-back. */
const home = '\u001b[H\u001b[J'
const clear = `\u001b[2J${home}`

/** Of both commands that watch. */
export const watchOptions = {
  interval: { value: 'SECONDS', meaning: 'how often; without it: 2' },
  count: { value: 'NUMBER', meaning: 'ends after so many; without it: goes on' },
} as const

/**
 * Asks again and again, until it has enough or the person has.
 * @param path of the input
 * @param only the output that is looked at alone; undefined: all are.
 * @throws RefusedByServer when there is no such input or output, or no longer.
 */
export async function watchInput(invocation: Invocation, path: string, only?: string): Promise<void> {
  const intervalMs = 1_000 * numberOf(invocation.option('interval'), 'interval', intervalSecondsDefault)
  const countMax = numberOf(invocation.option('count'), 'count', Number.POSITIVE_INFINITY)
  for (let count = 1; !invocation.signal.aborted; count++) {
    const [{ result: input }, { result: all }] = await Promise.all([
      invocation.api.call<WireLiveInput>('GET', path),
      invocation.api.call<WireOutput[]>('GET', `${path}/outputs`),
    ])
    const outputs = all.filter(({ uid }) => only === undefined || uid === only)
    if (only !== undefined && outputs.length === 0)
      throw new RefusedByServer(
        404,
        `This live input has no output ${only}. Its outputs: stream-connect output list ${input.uid}`,
      )
    const at = new Date(invocation.clock.now()).toISOString()
    if (invocation.isJson) invocation.print(`${jsonText({ at, ...withoutKeys(input, outputs) })}\n`)
    else if (invocation.isTerminal) invocation.print(`${count === 1 ? clear : home}${figures(at, input, outputs)}`)
    else invocation.print(`${count === 1 ? '' : '\n'}${figures(at, input, outputs)}`)
    if (count >= countMax) return
    await sleepOn(invocation, intervalMs)
  }
}

/** The clock's timers do not keep the program alive. */
async function sleepOn({ clock, signal }: Invocation, durationMs: number): Promise<void> {
  const stayAlive = setInterval(() => {}, durationMs)
  await sleep(clock, durationMs, signal).catch(() => {})
  clearInterval(stayAlive)
}

function withoutKeys(input: WireLiveInput, outputs: readonly WireOutput[]) {
  const { rtmp: _rtmp, rtmps: _rtmps, ...shown } = input
  return { input: shown, outputs: outputs.map(({ streamKey: _, ...output }) => output) }
}

function figures(at: string, input: WireLiveInput, outputs: readonly WireOutput[]): string {
  const { health } = input
  const lines = [
    `${at}  ${[input.uid, nameOf(input)].filter((text) => text !== '').join('  ')}`,
    `input  ${inputState(input)}${received(health)}`,
    ...(health?.warnings ?? []).map(({ message }) => `warning  ${message}`),
  ]
  const rows = outputs.map((output) => [
    output.name ?? output.url,
    kbps(output.health?.bitrateKbps),
    output.health?.lagMs === undefined ? '–' : `${Math.round(output.health.lagMs)} ms`,
    `${output.health?.droppedMessages ?? '–'}`,
    `${output.health?.reconnects ?? '–'}`,
    [outputState(output), output.health?.warning?.message].filter((text) => text !== undefined).join('; '),
  ])
  return `${lines.map(printable).join('\n')}\n${table(['OUTPUT', 'BITRATE', 'LAG', 'DROPPED', 'RECONNECTS', 'STATE'], rows)}`
}

function received(health: WireLiveInput['health']): string {
  if (health === undefined) return ''
  const { video, audio, uploadRatio } = health
  const facts = [
    kbps(health.bitrateKbps),
    video && [
      video.codec,
      video.width && `${video.width}x${video.height}`,
      video.frameRate && `${video.frameRate} fps`,
    ],
    audio && [audio.codec, audio.sampleRate && `${audio.sampleRate} Hz`],
    uploadRatio !== undefined && `upload ${uploadRatio.toFixed(2)}`,
  ]
  return facts
    .flat()
    .filter((fact) => fact)
    .map((fact) => `  ${fact}`)
    .join('')
}

function kbps(value: number | undefined): string {
  return value === undefined ? '–' : `${Math.round(value)} kbps`
}

function numberOf(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^[1-9]\d{0,5}$/.test(text) || (name === 'interval' && Number(text) > intervalSecondsMax))
    throw new WrongUsage(`--${name} is a whole number, 1 or more.`)
  return Number(text)
}
