import { fileURLToPath } from 'node:url'
import { type RunningProgram, startProgram } from './processes.ts'

/**
 * FFmpeg 8 as encoder, out of npm's node-av: it speaks Enhanced RTMP v2 (HEVC, AV1, Opus, several tracks), which Debian's does not.
 * In a process of its own, because it is native code.
 */
export type EnhancedPublishOptions = {
  /** At the pace of the timestamps. Default true. */
  readonly realtime?: boolean
  /** How many times the file is sent, one after the other on one clock. Default once. */
  readonly laps?: number
}

/**
 * Sends a file without encoding anything, and says goodbye at its end (exit code 0) or at SIGTERM.
 * @param url server and key in one, as FFmpeg has it; a path makes an FLV file of what would be sent.
 */
export async function publishWithFfmpeg8(
  file: string,
  url: string,
  options: EnhancedPublishOptions = {},
): Promise<RunningProgram> {
  const { realtime = true, laps = 1 } = options
  return startProgram(process.execPath, [
    fileURLToPath(import.meta.url),
    file,
    url,
    `${laps}`,
    realtime ? 're' : 'fast',
  ])
}

async function run(file: string, url: string, laps: number, realtime: boolean): Promise<void> {
  const { FFmpegError, FormatContext, Packet, Rational } = await import('node-av/lib')
  const must = (code: number, what: string) => FFmpegError.throwIfError(code, what)
  let stop = false
  process.once('SIGTERM', () => {
    stop = true
  })

  const output = new FormatContext()
  must(output.allocOutputContext2(null, 'flv', url), 'make an FLV muxer')
  output.maxInterleaveDelta = 0n
  let opened = false
  let lapMs = 0
  const milliseconds = new Rational(1, 1_000)
  const start = performance.now()
  for (let lap = 0; lap < laps && !stop; lap++) {
    await using input = new FormatContext()
    must(await input.openInput(file), `open ${file}`)
    must(await input.findStreamInfo(), `read ${file}`)
    const streams = input.streams ?? []
    if (!opened) {
      for (const stream of streams) {
        const copy = output.newStream(null)
        must(stream.codecpar.copy(copy.codecpar), 'copy the codec parameters')
        // The tag of the container that it comes from is none of FLV's.
        copy.codecpar.codecTag = 0
        copy.timeBase = stream.timeBase
      }
      must(await output.openOutput(), `connect to ${url}`)
      must(await output.writeHeader(), 'write the header')
      opened = true
    }
    let endMs = 0
    using packet = new Packet()
    packet.alloc()
    while (!stop && (await input.readFrame(packet)) >= 0) {
      const stream = streams[packet.streamIndex]!
      packet.rescaleTs(stream.timeBase, milliseconds)
      const dts = Number(packet.dts)
      endMs = Math.max(endMs, dts + Math.max(1, Number(packet.duration)))
      packet.pts += BigInt(lapMs)
      packet.dts += BigInt(lapMs)
      const wait = realtime ? start + lapMs + dts - performance.now() : 0
      if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait))
      packet.rescaleTs(milliseconds, output.streams![packet.streamIndex]!.timeBase)
      must(await output.writeFrame(packet), 'send')
      packet.unref()
    }
    lapMs += endMs
  }
  must(await output.writeTrailer(), 'end the stream')
  await output.closeOutput()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, url, laps, pace] = process.argv.slice(2)
  await run(file!, url!, Number(laps), pace === 're')
}
