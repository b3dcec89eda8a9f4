import { existsSync } from 'node:fs'
import { link, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, isListening, type RunningProgram, runProgram, startProgram, waitFor } from './processes.ts'

/** Clips, and FFmpeg as encoder and as destination. Needs `needs('ffmpeg')`. */

/** Made once per machine and kept between runs; the name changes with the recipe. */
const clipFolder = join(tmpdir(), 'stream-connect-clips-3')

export type ClipOptions = {
  readonly seconds?: number
  readonly size?: `${number}x${number}`
  readonly rate?: number
  /** Held exactly (constant bit rate with filler), so that a load is real. */
  readonly videoKbps?: number
  /** Frames in a group of pictures. Default: two seconds. */
  readonly gop?: number
  readonly bFrames?: number
  readonly audio?: boolean
  readonly video?: boolean
  /** Noise has no two frames that are alike: each packet tells where in the clip it is from. Default: a tone. */
  readonly sound?: 'tone' | 'noise'
  /** `h264` gives an FLV file; the others, which FFmpeg before 6.1 cannot put in FLV, Matroska. */
  readonly codec?: 'h264' | 'hevc' | 'av1'
}

const sounds = {
  tone: 'sine=frequency=440:beep_factor=4:sample_rate=48000',
  noise: 'anoisesrc=amplitude=0.2:color=pink:seed=7:sample_rate=48000',
} as const

/** A test picture and a tone: H.264 with B-frames and AAC unless told otherwise. Gives the path of the file. */
export async function makeClip(options: ClipOptions = {}): Promise<string> {
  const { seconds = 10, size = '640x360', rate = 30, videoKbps = 800, bFrames = 2 } = options
  const { gop = rate * 2, audio = true, video = true, sound = 'tone', codec = 'h264' } = options
  const name = [
    codec,
    `${seconds}s`,
    size,
    rate,
    `${videoKbps}k`,
    `g${gop}`,
    `b${bFrames}`,
    audio ? (sound === 'tone' ? 'a' : 'n') : '',
    video ? 'v' : '',
  ]
  const encoders = {
    h264: [
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', 'high', '-bf', `${bFrames}`, '-sc_threshold', '0'],
      ...['-x264-params', `nal-hrd=cbr:force-cfr=1:keyint=${gop}:min-keyint=${gop}:vbv-init=0.5`],
      ...[
        '-b:v',
        `${videoKbps}k`,
        '-minrate',
        `${videoKbps}k`,
        '-maxrate',
        `${videoKbps}k`,
        '-bufsize',
        `${videoKbps / 2}k`,
      ],
    ],
    hevc: [
      '-c:v',
      'libx265',
      '-preset',
      'ultrafast',
      '-x265-params',
      `keyint=${gop}:min-keyint=${gop}:log-level=error`,
    ],
    av1: ['-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-g', `${gop}`, '-b:v', `${videoKbps}k`],
  } as const
  return cached(`${name.join('-')}.${codec === 'h264' ? 'flv' : 'mkv'}`, (path) => [
    ...(video ? ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}`] : []),
    ...(audio ? ['-f', 'lavfi', '-i', sounds[sound]] : []),
    ...(video ? ['-pix_fmt', 'yuv420p', ...encoders[codec]] : []),
    ...(audio ? ['-c:a', 'aac', '-b:a', '128k', '-ac', '2'] : []),
    ...['-t', `${seconds}`, ...(codec === 'h264' ? ['-f', 'flv', '-flvflags', 'no_duration_filesize'] : []), path],
  ])
}

/** The load of the recommended maximum: 1080p60 at 12,000 kbps, key frame every 2 s, B-frames, 6 s. To be looped. */
export async function makeLoadClip(): Promise<string> {
  return makeClip({ seconds: 6, size: '1920x1080', rate: 60, videoKbps: 11_870, bFrames: 2 })
}

/**
 * What `publishWithFfmpeg` sends of a clip, as a file: the same FFmpeg, the same copy, into FLV. FFmpeg rounds the times of
 * audio anew when it copies, so that this, and not the clip, is what has to arrive.
 */
export async function sentByFfmpeg(clip: string, loops = 1): Promise<string> {
  const name = `${clip.split('/').at(-1)!}-sent-${loops}.flv`
  return cached(name, (path) => [...(loops > 1 ? ['-stream_loop', `${loops - 1}`] : []), '-i', clip, ...copyArgs, path])
}

const copyArgs = ['-map', '0', '-c', 'copy', '-f', 'flv', '-flvflags', 'no_duration_filesize'] as const

export type FfmpegPublishOptions = {
  /** `-re`. Default true. */
  readonly realtime?: boolean
  /** How many times it is played in all; default once. */
  readonly loops?: number
  readonly inputArgs?: readonly string[]
  readonly outputArgs?: readonly string[]
}

/**
 * FFmpeg as encoder: sends the file without encoding anything. `stop()` ends it properly (FCUnpublish, deleteStream), `kill()`
 * as a crash.
 * @param url server and key in one, as FFmpeg has it; rtmps too (FFmpeg 5 does not check certificates).
 */
export async function publishWithFfmpeg(
  file: string,
  url: string,
  options: FfmpegPublishOptions = {},
): Promise<RunningProgram> {
  const { realtime = true, loops = 1, inputArgs = [], outputArgs = [] } = options
  return startProgram('ffmpeg', [
    ...['-hide_banner', '-nostdin', '-loglevel', 'info'],
    ...(realtime ? ['-re'] : []),
    ...(loops > 1 ? ['-stream_loop', `${Number.isFinite(loops) ? loops - 1 : -1}`] : []),
    ...[...inputArgs, '-i', file, ...copyArgs, ...outputArgs, url],
  ])
}

export type FfmpegDestination = AsyncDisposable & {
  readonly program: RunningProgram
  /** `rtmp://127.0.0.1:port/app` and the key that it takes. */
  readonly url: string
  readonly key: string
  readonly file: string
  /** Resolves when the publisher has left and the file is whole. @throws Error with FFmpeg's words when it failed. */
  finished(deadlineMs?: number): Promise<string>
}

/**
 * FFmpeg as a destination for one connection. Video packets in the file have the times that were received; those of audio may
 * differ by 1 ms (see sentByFfmpeg): `comparePackets(…, { audioToleranceMs: 1 })`.
 */
export async function receiveWithFfmpeg(folder: string, options: { port?: number } = {}): Promise<FfmpegDestination> {
  const port = options.port ?? (await freePort())
  const file = join(folder, `ffmpeg-${port}.flv`)
  const url = `rtmp://127.0.0.1:${port}/app`
  const input = ['-copyts', '-listen', '1', '-i', `${url}/key`]
  const program = await startProgram('ffmpeg', ['-hide_banner', '-nostdin', '-y', ...input, ...copyArgs, file])
  try {
    await waitFor(`ffmpeg to listen on ${port}`, () => isListening(port))
  } catch (error) {
    await program.kill()
    throw error
  }
  return {
    program,
    url,
    key: 'key',
    file,
    async finished(deadlineMs = 10_000) {
      const exit = await waitFor('ffmpeg to finish its file', () => program.exit, deadlineMs)
      if (exit.code !== 0)
        throw new Error(`ffmpeg as destination ended with ${exit.code}:\n${program.output.slice(-4_000)}`)
      return file
    },
    [Symbol.asyncDispose]: async () => void (await program.stop()),
  }
}

/**
 * Decodes everything. Pictures keep their times to the millisecond: rounded to a frame rate, which FFmpeg guesses and an encoder's blips
 * distort, two could fall together, and FFmpeg would call that an error.
 * @throws Error with FFmpeg's words at the first error.
 */
export async function decodesCleanly(file: string, deadlineMs = 120_000): Promise<void> {
  const strict = ['-xerror', '-err_detect', 'explode']
  const asTimed = ['-vsync', 'passthrough', '-enc_time_base:v', '-1']
  const args = ['-nostdin', '-v', 'error', ...strict, '-i', file, ...asTimed, '-f', 'null', '-']
  const { stderr } = await runProgram('ffmpeg', args, { deadlineMs })
  if (stderr.trim()) throw new Error(`${file} does not decode cleanly:\n${stderr.slice(0, 4_000)}`)
}

async function cached(name: string, args: (path: string) => readonly string[]): Promise<string> {
  const path = join(clipFolder, name)
  if (existsSync(path)) return path
  await mkdir(clipFolder, { recursive: true })
  // Several tests may make the same clip at once: each its own, and the first one stays. FFmpeg does not make the same twice.
  const extension = name.slice(name.lastIndexOf('.'))
  const unfinished = join(clipFolder, `${process.pid}-${performance.now()}${extension}`)
  try {
    await runProgram('ffmpeg', ['-hide_banner', '-nostdin', '-v', 'error', '-y', ...args(unfinished)], {
      deadlineMs: 180_000,
    })
    await link(unfinished, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(unfinished, { force: true })
  }
  return path
}
