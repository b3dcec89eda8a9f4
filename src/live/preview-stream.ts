import type { Bus, StreamSink } from '../bus/bus.ts'
import type { LiveInputId } from '../model/id.ts'
import { previewSubject } from '../model/preview.ts'
import { flvBodyBytesMax, flvHeader, flvTagOfMessage } from '../rtmp/flv-writer.ts'
import type { Broadcast, BroadcastListener, FormatChange } from './broadcast.ts'
import type { MediaHeaders } from './media-headers.ts'
import { lanes, type MediaLog, messageFlags } from './media-log.ts'

/** Further behind, and with a newer key frame in the log, a viewer goes forward to it. */
const lagMsMax = 3_000
/** Written in one go; then the loop has its turn. */
const turnBytesMax = 256 * 1024

/**
 * Lets a broadcast be watched over the bus, from now until the returned function is called: at the broadcast's end, when its last words are
 * in the log and before it closes.
 */
export function servePreviews(bus: Pick<Bus, 'serveStream'>, input: LiveInputId, broadcast: Broadcast): () => void {
  const viewers = new Set<PreviewViewer>()
  const stop = bus.serveStream(previewSubject(input), (_message, sink) => {
    const viewer = new PreviewViewer(broadcast, sink, () => viewers.delete(viewer))
    viewers.add(viewer)
    viewer.start()
  })
  return () => {
    stop()
    for (const viewer of [...viewers]) viewer.end()
  }
}

/**
 * One who watches: a position in the log as received, and a sink with credit. Nothing is queued: without credit it stays where it is, and
 * when it is too far behind, or the log has let go what it would send next, it goes forward to a key frame. There its clock goes on without a
 * gap, at which players would stop; picture and sound keep their distance.
 *
 * Lives from the request until the broadcast ends or the viewer goes; owned by `servePreviews`.
 */
class PreviewViewer implements BroadcastListener {
  readonly #broadcast: Broadcast
  readonly #log: MediaLog
  readonly #sink: StreamSink
  readonly #onClosed: () => void
  #stopListening = () => {}
  #isOpen = true
  #hasCredit = true
  #isScheduled = false
  #hasBegun = false
  /** The sequence of the next message; undefined while it waits for a key frame. */
  #next: number | undefined
  /** The log's timestamp that is 0 for this viewer. */
  #base = 0
  /** On this viewer's clock: what is older than the key frame that it began with, or went forward to, is left out. */
  #floor = 0
  #newestSent = 0
  /** What decoders were told. */
  #headers: MediaHeaders = []

  constructor(broadcast: Broadcast, sink: StreamSink, onClosed: () => void) {
    this.#broadcast = broadcast
    this.#log = broadcast.log('received')
    this.#sink = sink
    this.#onClosed = onClosed
  }

  start(): void {
    this.#stopListening = this.#broadcast.listen(this)
    this.#sink.signal.addEventListener('abort', () => this.#close(), { once: true })
    this.#sink.onDrain = () => {
      this.#hasCredit = true
      this.#write()
    }
    this.#write()
  }

  onAppended(): void {
    this.#write()
  }

  /** Players choose their decoder once, so they begin anew. Tracks and wrappings that are new go on as they came. */
  onFormatChanged(change: FormatChange): void {
    if (change === 'codec' && this.#hasBegun) this.end()
  }

  /** The broadcast is over: what the credit allows is still sent. */
  end(): void {
    if (!this.#isOpen) return
    while (this.#hasCredit && this.#writeSome()) {}
    this.#close()
    this.#sink.end()
  }

  #close(): void {
    this.#isOpen = false
    this.#stopListening()
    this.#onClosed()
  }

  #write(): void {
    if (!this.#isOpen || !this.#hasCredit || this.#isScheduled || !this.#writeSome()) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#write()
    })
  }

  /** @returns whether there is more to write at once. */
  #writeSome(): boolean {
    const log = this.#log
    if (this.#mustJump()) this.#next = undefined
    if (this.#next === undefined && !this.#begin()) return false
    let bytes = 0
    while (this.#next !== undefined && this.#next < log.nextSequence) {
      if (!this.#hasCredit) return false
      if (bytes >= turnBytesMax) return true
      bytes += this.#send(this.#next)
      this.#next++
    }
    return false
  }

  #mustJump(): boolean {
    const log = this.#log
    const next = this.#next
    if (next === undefined || next === log.nextSequence) return false
    if (next < log.firstSequence) return true
    return log.newestTimestamp - log.timestampOf(next) > lagMsMax && log.newestKeyAfter(next) !== undefined
  }

  /** At the newest key frame, with the headers in force there that this viewer does not have yet. @returns false when it must wait. */
  #begin(): boolean {
    const log = this.#log
    const start = this.#broadcast.startSequence(log)
    if (start === undefined) return false
    this.#floor = this.#hasBegun ? this.#newestSent + 1 : 0
    this.#base = log.timestampOf(start) - this.#floor
    const isThere = (lane: number) => log.newestOnLane[lane]! >= 0
    const parts = this.#hasBegun ? [] : [flvHeader({ video: isThere(lanes.video), audio: isThere(lanes.audio) })]
    const headers = log.headersAt(start)
    for (const header of headers)
      if (!this.#headers.includes(header)) parts.push(flvTagOfMessage(header.type, this.#floor, header.body))
    if (parts.length > 0) this.#put(Buffer.concat(parts))
    this.#headers = headers
    this.#hasBegun = true
    this.#next = start
    return true
  }

  /** @returns the bytes that it took. */
  #send(sequence: number): number {
    const log = this.#log
    this.#headers = log.headersAt(sequence)
    const isHeader = (log.flagsOf(sequence) & messageFlags.header) !== 0
    const time = log.timestampOf(sequence) - this.#base
    if (time < this.#floor && !isHeader) return 0
    if (log.bodyBytesOf(sequence) > flvBodyBytesMax) return 0
    this.#newestSent = Math.max(this.#newestSent, time)
    return this.#put(flvTagOfMessage(log.typeOf(sequence), Math.max(this.#floor, time), log.copyBody(sequence)))
  }

  /** The sink takes all of it, beyond the credit too: nothing is ever cut in two here. */
  #put(bytes: Buffer): number {
    this.#hasCredit = this.#sink.write(bytes)
    return bytes.length
  }
}
