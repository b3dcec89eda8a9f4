import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  freePort,
  isListening,
  type RunningProgram,
  startProgram,
  temporaryFolder,
  waitFor,
} from '../test/support/processes.ts'
import { nginxRtmpModule, programPath } from '../test/support/requirements.ts'
import { type ServerUnderTest, startServer } from '../test/support/server.ts'
import type { TestCa } from '../test/support/tls.ts'
import { type LoadPrograms, startNullRelay, type Target } from './load.ts'
import { usageOf } from './proc.ts'
import type { Work } from './works.ts'

/** A server that relays, set up for one work. */
export type Peer = AsyncDisposable & {
  readonly pids: readonly number[]
  /** Where the encoders publish. */
  readonly targets: readonly Target[]
  /** Resident when it had been started and carried nothing yet; absent: as it is now. */
  readonly idleBytes?: number
  /** Messages that it says it has left out, since it was started; undefined where it does not tell. */
  readonly dropped?: () => Promise<number>
}

export type PeerName =
  | 'stream-connect'
  | 'stream-connect (1 thread)'
  | 'stream-connect (efficient)'
  | 'nginx-rtmp'
  | 'SRS'
  | 'send() loop'
  | 'send() loop every 7 ms'
  | 'send() loop every 40 ms'
  | 'Node loop every 7 ms'
  | 'Node loop every 40 ms'

/** @param sinkPorts as many as the work has outputs per input. */
export type StartPeer = (work: Work, sinkPorts: readonly number[], ca: TestCa | undefined) => Promise<Peer>

const callsAtOnce = 10
/** On a machine that does other work, too. */
const readyDeadlineMs = 60_000

const targetsOf = (work: Work, port: number): readonly Target[] =>
  Array.from({ length: work.inputs }, (_, index) => ({ port, app: 'live', key: `stream${index}` }))

/** Keeps a server for the rounds to come: each has inputs of its own, and V8 compiles once for all of them. */
export class Keeper implements AsyncDisposable {
  #kept: Promise<{ readonly server: ServerUnderTest; readonly idleBytes: number }> | undefined

  get isWarm(): boolean {
    return this.#kept !== undefined
  }

  take(start: () => Promise<ServerUnderTest>) {
    this.#kept ??= start().then(
      (server) => ({ server, idleBytes: usageOf([server.program.pid]).residentBytes }),
      (error: unknown) => {
        this.#kept = undefined
        throw error
      },
    )
    return this.#kept
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const kept = await this.#kept
    this.#kept = undefined
    await kept?.server[Symbol.asyncDispose]()
  }
}

/** @param settings without STREAM_CONNECT_. @param keeper not for works with TLS, whose certificates are made anew each time. */
export function startOurs(settings: Readonly<Record<string, string>>, keeper?: Keeper): StartPeer {
  return async (work, sinkPorts, ca) => {
    const start = () =>
      startServer({
        settings: { MAX_LIVE_INPUTS: '2000', LOG_LEVEL: 'warn', ...settings },
        ...(ca && { env: { NODE_EXTRA_CA_CERTS: ca.caPem } }),
        readyDeadlineMs,
        nodeArgs: process.env['BENCH_NODE_ARGS']?.split(' ') ?? [],
      })
    const kept = work.tls ? undefined : await keeper?.take(start)
    const server = kept?.server ?? (await start())
    const inputs: string[] = []
    const makeInput = async (index: number): Promise<Target> => {
      const created = await server.createInput()
      inputs.push(created.uid)
      for (const port of sinkPorts)
        await server.addOutput(created.uid, {
          url: `${work.tls ? 'rtmps://localhost' : 'rtmp://127.0.0.1'}:${port}/live`,
          streamKey: `stream${index}`,
        })
      return { port: server.ports.rtmp, app: 'live', key: created.rtmps.streamKey }
    }
    const targets: Target[] = []
    while (targets.length < work.inputs) {
      const count = Math.min(callsAtOnce, work.inputs - targets.length)
      const first = targets.length
      targets.push(...(await Promise.all(Array.from({ length: count }, (_, index) => makeInput(first + index)))))
    }
    return {
      pids: [server.program.pid],
      targets,
      async dropped() {
        const text = await (await fetch(`${server.origin}/metrics`, { headers: { connection: 'close' } })).text()
        const counts = text.matchAll(/^\w*output_dropped_messages_total\{[^}]*\} (\d+)$/gm)
        return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
      },
      ...(kept && { idleBytes: kept.idleBytes }),
      async [Symbol.asyncDispose]() {
        if (kept === undefined) await server[Symbol.asyncDispose]()
        else for (const uid of inputs) await server.api('DELETE', `/${uid}`)
      },
    }
  }
}

/** nginx-rtmp pushes; for RTMPS through stunnel, as its users do. */
export const startNginx: StartPeer = async (work, sinkPorts, ca) => {
  const folder = await temporaryFolder('bench-nginx')
  await mkdir(join(folder.path, 'logs'))
  const started: RunningProgram[] = []
  let pushPorts = sinkPorts
  if (work.tls && ca !== undefined) {
    pushPorts = await Promise.all(sinkPorts.map(() => freePort()))
    const services = sinkPorts.map(
      (port, index) =>
        `[sink${index}]\nclient = yes\naccept = 127.0.0.1:${pushPorts[index]}\nconnect = 127.0.0.1:${port}\nCAfile = ${ca.caPem}\nverifyChain = yes\ncheckHost = localhost\nsni = localhost\n`,
    )
    const configuration = join(folder.path, 'stunnel.conf')
    await writeFile(
      configuration,
      `foreground = yes\npid =\ndebug = err\nsocket = r:TCP_NODELAY=1\n${services.join('')}`,
    )
    started.push(await startProgram(programPath('stunnel'), [configuration]))
    await waitFor('stunnel to listen', () => isListening(pushPorts[0]!))
  }
  const port = await freePort()
  const pushes = pushPorts.map((sink) => `push rtmp://127.0.0.1:${sink}/live;`).join('\n      ')
  const configuration = join(folder.path, 'nginx.conf')
  await writeFile(
    configuration,
    `load_module ${nginxRtmpModule};
daemon off; worker_processes 1; pid ${folder.path}/nginx.pid; error_log ${folder.path}/error.log warn; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 8192; }
rtmp { server { listen 127.0.0.1:${port}; chunk_size 4096; max_message 8M;
    application live {
      live on; push_reconnect 1s;
      ${pushes}
    } } }
`,
  )
  started.push(await startProgram(programPath('nginx'), ['-p', folder.path, '-c', configuration]))
  await waitFor('nginx to listen', () => isListening(port))
  return {
    pids: started.map(({ pid }) => pid),
    targets: targetsOf(work, port),
    async [Symbol.asyncDispose]() {
      for (const program of started) await program.stop()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** SRS forwards to host and port alone, so each output has a port of its own. @param binary its path (SRS_BIN). */
export function startSrs(binary: string): StartPeer {
  return async (work, sinkPorts) => {
    const folder = await temporaryFolder('bench-srs')
    const port = await freePort()
    const configuration = join(folder.path, 'srs.conf')
    await writeFile(
      configuration,
      `listen ${port}; max_connections 4000; daemon off; srs_log_tank console; srs_log_level error; pid ${folder.path}/srs.pid;
vhost __defaultVhost__ { forward { enabled on; destination ${sinkPorts.map((sink) => `127.0.0.1:${sink}`).join(' ')}; } }
`,
    )
    const program = await startProgram(binary, ['-c', configuration], { cwd: folder.path })
    await waitFor('SRS to listen', () => isListening(port))
    return {
      pids: [program.pid],
      targets: targetsOf(work, port),
      async [Symbol.asyncDispose]() {
        await program.stop()
        await folder[Symbol.asyncDispose]()
      },
    }
  }
}

/**
 * The floor: what the kernel alone costs or, in Node, what JavaScript costs at the least. It has no outputs that stall, and no TLS.
 * @param restMs before it reads, for comparison with a server that gathers for so long.
 */
export function startBareLoop(programs: LoadPrograms | 'in Node', restMs = 0): StartPeer {
  return async (work, sinkPorts) => {
    const relay = await startNullRelay(programs, sinkPorts, restMs)
    return {
      pids: [relay.pid],
      targets: targetsOf(work, relay.port),
      [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
    }
  }
}
