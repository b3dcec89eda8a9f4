import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts, isListening, type RunningProgram, startProgram, temporaryFolder, waitFor } from './processes.ts'
import { nginxRtmpModule, programPath } from './requirements.ts'

export type NginxRtmpOptions = {
  /** Record each published stream as FLV. Default true. */
  readonly record?: boolean
  /** Further lines inside `application`, each with its semicolon. */
  readonly directives?: readonly string[]
}

export type NginxRtmp = AsyncDisposable & {
  readonly port: number
  /** `rtmp://127.0.0.1:port/app`: what an output has as its url. */
  url(app?: string): string
  /** FLV files of one stream or of all, oldest first. A file is made when its publish begins and complete when it ends. */
  recordings(stream?: string): Promise<string[]>
  /** What publishes now, as the statistics module tells it. */
  publishers(): Promise<NginxPublisher[]>
  waitForPublisher(stream: string, deadlineMs?: number): Promise<NginxPublisher>
  waitForNoPublisher(stream: string, deadlineMs?: number): Promise<void>
  /** nginx's error log. */
  log(): Promise<string>
  /** Stops the process (SIGSTOP): connections stay up, nothing is read. */
  pause(): void
  resume(): void
  /** Stops; `start` again listens on the same port and keeps the recordings. */
  stop(): Promise<void>
  start(): Promise<void>
}

export type NginxPublisher = { readonly name: string; readonly bytesIn: number; readonly timeMs: number }

/** A real nginx-rtmp (Debian's libnginx-mod-rtmp) with a folder of its own. Needs `needs('nginx-rtmp')`. */
export async function startNginxRtmp(options: NginxRtmpOptions = {}): Promise<NginxRtmp> {
  const folder = await temporaryFolder('nginx')
  const recordings = join(folder.path, 'recordings')
  const configuration = join(folder.path, 'nginx.conf')
  const log = join(folder.path, 'error.log')
  await mkdir(recordings)
  const [port, statisticsPort] = (await freePorts(2)) as [number, number]
  await writeFile(configuration, configure(folder.path, port, statisticsPort, options))
  let program: RunningProgram | undefined

  const start = async () => {
    program = await startProgram(programPath('nginx'), ['-p', folder.path, '-c', configuration, '-e', log])
    const exited = program.exited
    let ended = false
    void exited.then(() => {
      ended = true
    })
    await waitFor(`nginx to listen on ${port}`, async () => {
      if (ended) return true
      return (await isListening(port)) && (await isListening(statisticsPort))
    })
    if (ended) throw new Error(`nginx did not start: ${program.output}\n${await readFile(log, 'utf8').catch(() => '')}`)
  }
  const stop = async () => {
    await program?.stop()
    program = undefined
  }
  const publishers = async (): Promise<NginxPublisher[]> => {
    const answer = await fetch(`http://127.0.0.1:${statisticsPort}/stat`, { headers: { connection: 'close' } })
    return readStatistics(await answer.text())
  }

  try {
    await start()
  } catch (error) {
    await stop()
    await folder[Symbol.asyncDispose]()
    throw error
  }
  return {
    port,
    url: (app = 'live') => `rtmp://127.0.0.1:${port}/${app}`,
    async recordings(stream) {
      const names = (await readdir(recordings)).filter((name) => stream === undefined || name.startsWith(`${stream}-`))
      const files = await Promise.all(
        names.map(async (name) => {
          const path = join(recordings, name)
          return { path, born: (await stat(path)).birthtimeMs }
        }),
      )
      return files.sort((a, b) => a.born - b.born).map(({ path }) => path)
    },
    publishers,
    waitForPublisher: (stream, deadlineMs) =>
      waitFor(
        `${stream} at nginx-rtmp`,
        async () => (await publishers()).find(({ name, bytesIn }) => name === stream && bytesIn > 0),
        deadlineMs,
      ),
    async waitForNoPublisher(stream, deadlineMs) {
      await waitFor(
        `the end of ${stream} at nginx-rtmp`,
        async () => (await publishers()).every(({ name }) => name !== stream),
        deadlineMs,
      )
    },
    log: () => readFile(log, 'utf8'),
    pause: () => program?.pause(),
    resume: () => program?.resume(),
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function configure(folder: string, port: number, statisticsPort: number, options: NginxRtmpOptions): string {
  const { record = true, directives = [] } = options
  const recording = record
    ? // The second of its start in the name: two publishes of one stream do not write to one file.
      [`record all;`, `record_path ${folder}/recordings;`, 'record_unique on;', 'record_max_size 2048M;']
    : []
  return `
load_module ${nginxRtmpModule};
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
# One process, no master: its id is the one to stop or to pause.
master_process off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log info;
events { worker_connections 512; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${port};
    chunk_size 4096;
    # The default of 1 MB refuses large key frames.
    max_message 16M;
    application live {
      live on;
      ${[...recording, ...directives].join('\n      ')}
    }
  }
}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${statisticsPort};
    location /stat { rtmp_stat all; }
  }
}
`
}

/** The few elements of rtmp_stat's XML that a test asks for. */
function readStatistics(xml: string): NginxPublisher[] {
  const element = (text: string, name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? ''
  return [...xml.matchAll(/<stream>([\s\S]*?)<\/stream>/g)]
    .map((match) => match[1]!)
    .filter((stream) => stream.includes('<publishing/>'))
    .map((stream) => ({
      name: element(stream, 'name'),
      bytesIn: Number(element(stream, 'bytes_in')),
      timeMs: Number(element(stream, 'time')),
    }))
}
