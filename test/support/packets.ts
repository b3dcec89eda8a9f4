import { runProgram } from './processes.ts'

/** Files compared packet by packet, as FFmpeg's demuxer reads them. */

export type Packet = {
  readonly streamIndex: number
  readonly kind: 'video' | 'audio'
  /** Milliseconds. */
  readonly dts: number
  readonly pts: number
  readonly size: number
  readonly md5: string
  readonly key: boolean
}

export type FileStream = {
  readonly index: number
  readonly kind: 'video' | 'audio'
  readonly codec: string
  /** MD5 of the sequence header's content. */
  readonly headerMd5: string
}

/** All packets in file order. Times come straight from the demuxer, so that nothing is rounded. */
export async function packetsOf(file: string): Promise<Packet[]> {
  const fields = 'codec_type,stream_index,pts_time,dts_time,size,flags,data_hash'
  // JSON, because the line formats break where a packet carries side data (a repeated sequence header).
  const wanted = ['-show_packets', '-show_data_hash', 'md5', '-show_entries', `packet=${fields}`]
  const { stdout } = await runProgram('ffprobe', ['-v', 'error', '-of', 'json', ...wanted, file], {
    deadlineMs: 120_000,
  })
  const { packets } = JSON.parse(stdout) as { packets: Record<string, string | number>[] }
  return packets
    .filter(({ codec_type: kind }) => kind === 'video' || kind === 'audio')
    .map((packet) => ({
      streamIndex: Number(packet['stream_index']),
      kind: packet['codec_type'] as 'video' | 'audio',
      dts: milliseconds(packet['dts_time']),
      pts: milliseconds(packet['pts_time']),
      size: Number(packet['size']),
      md5: md5Of(packet['data_hash']),
      key: String(packet['flags']).includes('K'),
    }))
}

export async function streamsOf(file: string): Promise<FileStream[]> {
  const wanted = [
    '-show_streams',
    '-show_data_hash',
    'md5',
    '-show_entries',
    'stream=index,codec_type,codec_name,extradata_hash',
  ]
  const { stdout } = await runProgram('ffprobe', ['-v', 'error', '-of', 'json', ...wanted, file])
  const { streams } = JSON.parse(stdout) as { streams: Record<string, string | number>[] }
  return streams
    .filter((stream) => stream['codec_type'] === 'video' || stream['codec_type'] === 'audio')
    .map((stream) => ({
      index: Number(stream['index']),
      kind: stream['codec_type'] as 'video' | 'audio',
      codec: String(stream['codec_name']),
      headerMd5: md5Of(stream['extradata_hash']),
    }))
}

function milliseconds(seconds: string | number | undefined): number {
  return Math.round(Number(seconds) * 1_000)
}

function md5Of(hash: string | number | undefined): string {
  return String(hash ?? '')
    .replace(/^md5:/i, '')
    .toLowerCase()
}

export type CompareOptions = {
  /** The sent packets were sent again and again; from the first repetition on only order and distances within it hold. */
  readonly looped?: boolean
  /** For what FFmpeg recorded (it rounds anew). Default 0. */
  readonly audioToleranceMs?: number
  /** How much later than the first key frame audio may begin. Default 200 ms. */
  readonly audioStartMaxMs?: number
  /** The last sent packet of every track must be there. Default false: the recording may end before. */
  readonly untilEnd?: boolean
}

export type Comparison = {
  /** Sent time minus received time, milliseconds, of the first key frame. */
  readonly baseMs: number
  readonly video: number
  readonly audio: number
  /** Index of the first received video packet among the sent ones. */
  readonly firstVideo: number
}

/**
 * Asserts that what was received is what was sent, packet for packet from a key frame on: equal bytes, nothing missing or
 * added, equal distances in time (the same base for video and audio), beginning at 0, DTS strictly rising per track.
 * @throws Error that names the first packet that differs.
 */
export function comparePackets(
  sent: readonly Packet[],
  received: readonly Packet[],
  options: CompareOptions = {},
): Comparison {
  const { audioToleranceMs = 0, audioStartMaxMs = 200, looped = false, untilEnd = false } = options
  const start = Math.min(...received.map((packet) => packet.dts))
  if (start !== 0) throw new Error(`the recording starts at ${start} ms and not at 0 (${received.length} packets)`)
  const of = (packets: readonly Packet[], kind: Packet['kind']) => packets.filter((packet) => packet.kind === kind)
  const counts = { video: 0, audio: 0 }
  let baseMs: number | undefined
  let firstVideo = -1
  // Per repetition: how much later it came than the first. Video decides, audio must agree.
  const shifts = new Map<number, number>([[0, 0]])

  for (const kind of ['video', 'audio'] as const) {
    const source = of(sent, kind)
    const target = of(received, kind)
    counts[kind] = target.length
    if (target.length === 0) {
      if (source.length > 0) throw new Error(`no ${kind} was received`)
      continue
    }
    strictlyRising(kind, target)
    let index = findStart(kind, source, target[0]!, baseMs, audioToleranceMs)
    if (kind === 'video') firstVideo = index
    baseMs ??= source[index]!.dts - target[0]!.dts
    if (target[0]!.dts > (kind === 'audio' ? audioStartMaxMs : 0) && counts.video > 0) {
      throw new Error(`${kind} begins only at ${target[0]!.dts} ms`)
    }
    const tolerance = kind === 'audio' ? audioToleranceMs : 0
    for (const [place, packet] of target.entries()) {
      const lap = Math.floor(index / source.length)
      if (lap > 0 && !looped) throw new Error(`${kind} packet ${place} at ${packet.dts} ms is more than was sent`)
      const expected = source[index % source.length]!
      const describe = `${kind} packet ${place} at ${packet.dts} ms (sent packet ${index} at ${expected.dts} ms)`
      if (packet.md5 !== expected.md5)
        throw new Error(`${describe} has other bytes than what was sent: ${whereIs(source, packet)}`)
      if (!shifts.has(lap)) shifts.set(lap, packet.dts + baseMs - expected.dts)
      const off = packet.dts + baseMs - expected.dts - shifts.get(lap)!
      // FFmpeg makes a repetition begin at the end of the longest track, rounded once per track.
      if (Math.abs(off) > tolerance + (lap > 0 ? 1 : 0)) throw new Error(`${describe} is off by ${off} ms`)
      if (packet.pts - packet.dts !== expected.pts - expected.dts)
        throw new Error(`${describe} has another composition time`)
      if (packet.key !== expected.key) throw new Error(`${describe} differs in its key flag`)
      index++
    }
    if (untilEnd && index % source.length !== 0) {
      throw new Error(`${kind} ends at sent packet ${index} of ${source.length}`)
    }
  }
  return { baseMs: baseMs ?? 0, video: counts.video, audio: counts.audio, firstVideo }
}

/** @throws Error at the first packet of a track whose DTS is not later than that of the one before. */
export function strictlyRising(kind: string, packets: readonly Packet[]): void {
  for (const [index, packet] of packets.entries()) {
    const before = packets[index - 1]
    if (before && packet.dts <= before.dts) {
      throw new Error(`${kind} DTS does not rise: ${packet.dts} ms after ${before.dts} ms (packet ${index})`)
    }
  }
}

function findStart(
  kind: string,
  source: readonly Packet[],
  first: Packet,
  baseMs: number | undefined,
  toleranceMs: number,
): number {
  if (kind === 'video' && !first.key) throw new Error('the recording does not begin with a key frame')
  const index = source.findIndex(
    (packet) =>
      packet.md5 === first.md5 && (baseMs === undefined || Math.abs(packet.dts - baseMs - first.dts) <= toleranceMs),
  )
  if (index < 0)
    throw new Error(`the first ${kind} packet received (${first.dts} ms) is none that was sent at that time`)
  return index
}

function whereIs(source: readonly Packet[], packet: Packet): string {
  const index = source.findIndex((candidate) => candidate.md5 === packet.md5)
  return index < 0 ? 'never sent' : `that is sent packet ${index} at ${source[index]!.dts} ms`
}
