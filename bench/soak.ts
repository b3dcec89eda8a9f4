/**
 * `npm run soak -- --minutes 60`: one broadcast with 50 outputs, of which 40 have a fault after the other, and an encoder that is
 * interrupted now and then. At the end: is memory flat, has sound kept to the picture, did the other ten notice anything, are all live again?
 * Prints a line a minute and a verdict; exit status 1 when something was not as it has to be.
 */
import { parseArgs } from 'node:util'
import { type Held, heldBy, inWords, probed } from '../test/support/held-resources.ts'
import { publish } from '../test/support/publisher.ts'
import { type CreatedInput, type ServerUnderTest, startServer, type WireStatus } from '../test/support/server.ts'
import { syntheticTags } from '../test/support/synthetic-source.ts'
import { testCa } from '../test/support/tls.ts'
import { type Faulty, type Random, randomFrom, SoakDestination } from './soak-destination.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    outputs: { type: 'string', default: '50' },
    kbps: { type: 'string', default: '4000' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
  },
})
const minutes = Number(values.minutes)
const outputsTotal = Number(values.outputs)
const kbps = Number(values.kbps)
const seed = Number(values.seed)

const fps = 30
/** Of all outputs, those that are left in peace: they may notice nothing. */
const steadyPart = 0.2
/** Of all outputs, those over TLS. */
const securePart = 0.1
const faultEveryMs = 2_000
/** The encoder is cut, and comes back within the window in which its outputs are held. */
const blipEveryMs = 4 * 60_000
/** From the end of the faults until all are live again: the longest wait between two attempts after a refusal, and a little. */
const recoveryMs = 150_000
const driftMsMax = 1
/** Between the first tenth and the last: caches that fill, code that is compiled. */
const heapGrowthMax = 6 * 2 ** 20
const residentGrowthMax = 48 * 2 ** 20

async function soak(): Promise<boolean> {
  print(`soak: ${minutes} minutes, ${outputsTotal} outputs, ${kbps} kbps, seed ${seed}`)
  const random = randomFrom(seed)
  await using owned = new AsyncDisposableStack()
  const ca = owned.use(await testCa())
  const certificate = await ca.serverCert('secure.invalid')
  const server = owned.use(
    await startServer({
      nodeArgs: probed,
      hosts: { 'secure.invalid': '127.0.0.1' },
      env: { NODE_EXTRA_CA_CERTS: ca.caPem },
      // This process reads for 50 destinations: what it does not come to on a busy machine must not look like a slow destination.
      settings: { LOG_LEVEL: 'info', MAX_LAG_MS: '10000' },
    }),
  )
  const input = await server.createInput()
  const sinks: SoakDestination[] = []
  for (let index = 0; index < outputsTotal; index++) {
    const tls = index % Math.round(1 / securePart) === 0 ? certificate : undefined
    const sink = owned.use(await SoakDestination.start({ isSteady: index < outputsTotal * steadyPart, tls, fps }))
    sinks.push(sink)
    await server.addOutput(input.uid, { url: sink.url, streamKey: `soak-${index}` })
  }

  const stop = new AbortController()
  const encoder = new Encoder(server, input, random)
  const encoding = encoder.run(stop.signal)
  await allConnected(server, input)
  print(`all ${outputsTotal} outputs are connected`)

  const faults = new Faults(sinks, random)
  const samples = await observe(server, sinks, faults, encoder)
  faults.stop()
  const recovered = await allConnected(server, input).then(
    () => true,
    (error: Error) => {
      print(error.message)
      return false
    },
  )
  stop.abort()
  await encoding
  return judge({ server, sinks, samples, faults, encoder, recovered })
}

/** One encoder that is cut now and then: what the server knows of it afterwards is the next session of the same broadcast. */
class Encoder {
  sessions = 0
  readonly #server: ServerUnderTest
  readonly #input: CreatedInput
  readonly #random: Random

  constructor(server: ServerUnderTest, input: CreatedInput, random: Random) {
    this.#server = server
    this.#input = input
    this.#random = random
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const publisher = await publish({ url: this.#server.rtmpUrl, key: this.#input.rtmps.streamKey })
      const session = this.sessions++
      const durationMs = blipEveryMs * (0.5 + this.#random())
      const { completed } = await publisher.replay(syntheticTags({ kbps, fps, session }), { signal, durationMs })
      if (signal.aborted) {
        await publisher.goodbye()
        return
      }
      if (!completed) throw new Error('the server has cut the encoder')
      publisher.vanish()
      await sleep(1_000 + this.#random() * 4_000)
    }
  }
}

/** A fault at one of the outputs that are not left in peace, again and again. */
class Faults {
  readonly counts = new Map<string, number>()
  readonly #timer: NodeJS.Timeout

  constructor(sinks: readonly SoakDestination[], random: Random) {
    const faulty = sinks.filter(({ isSteady }) => !isSteady)
    this.#timer = setInterval(() => {
      const well = faulty.filter(({ isFaulty }) => !isFaulty)
      const sink = well[Math.floor(random() * well.length)]
      const kind: Faulty | undefined = sink?.fail(random)
      if (kind !== undefined) this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    }, faultEveryMs)
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

async function observe(
  server: ServerUnderTest,
  sinks: readonly SoakDestination[],
  faults: Faults,
  encoder: Encoder,
): Promise<readonly Held[]> {
  const samples: Held[] = []
  const end = performance.now() + minutes * 60_000
  const everyMs = Math.min(60_000, (minutes * 60_000) / 10)
  while (performance.now() < end) {
    await sleep(Math.min(everyMs, end - performance.now()))
    const held = await heldBy(server)
    samples.push(held)
    const passed = minutes - (end - performance.now()) / 60_000
    const drift = Math.max(...sinks.map(({ driftMs }) => driftMs))
    print(
      `${passed.toFixed(1).padStart(6)} min  ${inWords(held)}, ${faults.total} faults, ${encoder.sessions} sessions, drift ${drift} ms`,
    )
  }
  return samples
}

async function allConnected(server: ServerUnderTest, input: CreatedInput): Promise<void> {
  const end = performance.now() + recoveryMs
  for (;;) {
    const outputs = await server.outputs(input.uid)
    const missing = outputs.filter(({ status }) => (status as WireStatus | null)?.current.state !== 'connected')
    if (missing.length === 0) return
    if (performance.now() > end) {
      const told = missing.map(
        ({ streamKey, status }) => `${streamKey} ${JSON.stringify((status as WireStatus).current)}`,
      )
      throw new Error(`not connected: ${told.join('; ')}`)
    }
    await sleep(1_000)
  }
}

function judge(run: {
  readonly server: ServerUnderTest
  readonly sinks: readonly SoakDestination[]
  readonly samples: readonly Held[]
  readonly faults: Faults
  readonly encoder: Encoder
  readonly recovered: boolean
}): boolean {
  const { server, sinks, samples, faults, encoder } = run
  for (const sink of sinks) sink.count()
  const sum = (of: (sink: SoakDestination) => number) => sinks.reduce((total, sink) => total + of(sink), 0)
  const steady = sinks.filter(({ isSteady }) => isSteady)
  const drift = Math.max(...sinks.map(({ driftMs }) => driftMs))
  const growth = (of: (held: Held) => number) => grown(samples.map(of))
  const heap = growth(({ heapUsed }) => heapUsed)
  const buffers = growth(({ arrayBuffers }) => arrayBuffers)
  const resident = growth(({ rss }) => rss)
  const errors = server.log.filter(({ level, msg }) => level === 'error' || /Warning/.test(String(msg)))
  const mb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`
  print('')
  print(`faults         ${[...faults.counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`)
  print(`encoder        ${encoder.sessions} sessions`)
  print(`connections    ${sum(({ connections }) => connections)}, of them ${steady.length} to outputs left in peace`)
  print(`media          ${sum(({ messages }) => messages)} messages received`)
  print(
    `growth         heap ${mb(heap)}, buffers ${mb(buffers)}, resident ${mb(resident)} (last quarter against the second)`,
  )
  print(`drift          ${drift} ms`)
  for (const { url, connections, gaps } of steady)
    if (connections !== 1 || gaps > 0) print(`left in peace  ${url}: ${connections} connections, ${gaps} gaps`)
  const verdicts: readonly (readonly [boolean, string])[] = [
    [run.recovered, 'all outputs are live again after the faults'],
    [drift <= driftMsMax, `sound keeps to the picture within ${driftMsMax} ms`],
    [heap <= heapGrowthMax && buffers <= 16 * 2 ** 20 && resident <= residentGrowthMax, 'memory is flat'],
    [sum(({ violations }) => violations) === 0, 'every destination was sent valid RTMP, with times that never go back'],
    [sum(({ brokenGroups }) => brokenGroups) === 0, 'whatever was left out, the picture went on at a key frame'],
    [
      steady.every(({ connections, gaps }) => connections === 1 && gaps === 0),
      'outputs left in peace have noticed nothing',
    ],
    [
      errors.length === 0,
      `no error and no warning of Node's in the log ${errors.length > 0 ? JSON.stringify(errors[0]) : ''}`,
    ],
  ]
  for (const [holds, what] of verdicts) print(`${holds ? 'yes' : 'NO '}            ${what}`)
  return verdicts.every(([holds]) => holds)
}

/** The mean of the last quarter less that of the second: the first is for what is loaded and compiled once. */
function grown(figures: readonly number[]): number {
  const quarter = Math.max(1, Math.floor(figures.length / 4))
  const mean = (part: readonly number[]) => part.reduce((sum, one) => sum + one, 0) / part.length
  return mean(figures.slice(-quarter)) - mean(figures.slice(quarter, 2 * quarter))
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

process.exitCode = (await soak()) ? 0 : 1
