import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { IngestErrorCode } from '../errors.ts'
import type { LiveInputId } from '../model/id.ts'
import { type Message, messageTypes } from '../rtmp/message.ts'
import type { Publisher } from './input-session.ts'
import type { PublisherSeat, RelayEnd, SeatRefused } from './media-engine.ts'
import { type HowLeft, RelayReader, RelayWriter } from './relay-ring.ts'

/**
 * A publisher whose input belongs to another thread: media goes through a ring of shared memory, everything else over a port.
 *
 *   publisher's side            owner's side
 *   seat(key, relayPath)   →
 *                          ←    seated | refused | unknown
 *   (ring)  wake           →
 *                          ←    room (for what did not fit), cut(reason)
 *
 * When either thread ends, its port closes: the publisher is cut, or has vanished.
 */
type ToOwner =
  | { readonly type: 'seat'; readonly presentedKey: string; readonly relayPath: readonly string[] | undefined }
  | { readonly type: 'wake' }
type ToPublisher =
  | { readonly type: 'seated'; readonly inputId: LiveInputId }
  | { readonly type: 'refused'; readonly refusal: SeatRefused }
  | { readonly type: 'unknown' }
  | { readonly type: 'room' }
  | { readonly type: 'cut'; readonly reason: IngestErrorCode }

/** The owner answers at once, unless its thread hangs. */
const answerMs = 3_000

const sayToOwner = (port: MessagePort, message: ToOwner) => port.postMessage(message)
const sayToPublisher = (port: MessagePort, message: ToPublisher) => port.postMessage(message)

/**
 * The publisher's side: asks the owner for a place.
 * @param onEnded called once, when this side does not look at the ring any more.
 * @returns the place, or why there is none; undefined when the owner does not know the key.
 */
export function askOverRelay(
  { port, ring }: RelayEnd,
  presentedKey: string,
  publisher: Publisher,
  clock: Clock,
  onEnded: () => void,
): Promise<PublisherSeat | SeatRefused | undefined> {
  return new Promise((resolve) => {
    let seat: RelayedSeat | undefined
    const giveUp = () => {
      resolve({ refused: 'publisher_idle' })
      port.close()
    }
    const cancel = clock.after(answerMs, giveUp)
    const answer = (result: PublisherSeat | SeatRefused | undefined) => {
      cancel()
      resolve(result)
      if (seat === undefined) port.close()
    }
    port.on('close', () => {
      cancel()
      resolve({ refused: 'publisher_idle' })
      seat?.ownerGone()
      onEnded()
    })
    port.on('message', (message: ToPublisher) => {
      switch (message.type) {
        case 'seated':
          seat = new RelayedSeat(message.inputId, port, ring, publisher)
          answer(seat)
          break
        case 'refused':
          answer(message.refusal)
          break
        case 'unknown':
          answer(undefined)
          break
        case 'room':
          seat?.roomGiven()
          break
        case 'cut':
          publisher.cut(message.reason)
          break
        default:
          message satisfies never
      }
    })
    sayToOwner(port, { type: 'seat', presentedKey, relayPath: publisher.relayPath })
  })
}

/** A publisher's place in an input of another thread. */
class RelayedSeat implements PublisherSeat {
  readonly inputId: LiveInputId
  readonly #writer: RelayWriter
  readonly #publisher: Publisher
  #hasLeft = false
  #isOver = false
  bytes = 0
  messages = 0

  constructor(inputId: LiveInputId, port: MessagePort, ring: SharedArrayBuffer, publisher: Publisher) {
    this.inputId = inputId
    this.#publisher = publisher
    this.#writer = new RelayWriter(ring, () => sayToOwner(port, { type: 'wake' }))
  }

  publish({ type, timestamp, body }: Message): boolean {
    if (!isMedia(type)) return false
    // The ring may be another publisher's by now.
    if (this.#hasLeft || this.#isOver) return true
    this.bytes += body.length
    this.messages++
    if (!this.#writer.write(type, timestamp, body)) this.#publisher.setPaused?.(true)
    return true
  }

  /** The port stays until the owner has read that, and closes it. */
  leave(how: HowLeft): void {
    if (this.#hasLeft || this.#isOver) return
    this.#hasLeft = true
    this.#writer.leave(how)
  }

  roomGiven(): void {
    if (this.#isOver) return
    if (this.#writer.resume()) this.#publisher.setPaused?.(false)
  }

  ownerGone(): void {
    this.#isOver = true
    if (!this.#hasLeft) this.#publisher.cut('publisher_idle')
  }
}

/**
 * The owner's side.
 * @param onArrival called before what has come is looked at.
 * @param seat as for a publisher of this thread; undefined when the key is not known.
 * @param onEnded called once, when this side does not look at the ring any more.
 */
export function answerRelay(
  { port, ring }: RelayEnd,
  onArrival: () => void,
  seat: (presentedKey: string, publisher: Publisher) => PublisherSeat | SeatRefused | undefined,
  onEnded: () => void,
): void {
  let place: PublisherSeat | undefined
  let hasLeft = false
  const leave = (how: HowLeft) => {
    if (hasLeft) return
    hasLeft = true
    place?.leave(how)
    port.close()
  }
  const reader = new RelayReader(ring, {
    onMessage: (message) => place?.publish(message),
    onLeft: leave,
    giveRoom: () => sayToPublisher(port, { type: 'room' }),
  })
  port.on('close', () => {
    // What it had sent before it went is in the ring.
    if (!hasLeft) reader.drain()
    leave('vanished')
    onEnded()
  })
  port.on('message', (message: ToOwner) => {
    if (message.type === 'wake') {
      onArrival()
      reader.drain()
      return
    }
    const { presentedKey, relayPath } = message
    const found = seat(presentedKey, {
      ...(relayPath !== undefined && { relayPath }),
      cut: (reason) => sayToPublisher(port, { type: 'cut', reason }),
    })
    if (found === undefined) sayToPublisher(port, { type: 'unknown' })
    else if ('refused' in found) sayToPublisher(port, { type: 'refused', refusal: found })
    else {
      place = found
      sayToPublisher(port, { type: 'seated', inputId: found.inputId })
    }
  })
}

function isMedia(type: number): boolean {
  return (
    type === messageTypes.audio ||
    type === messageTypes.video ||
    type === messageTypes.amf0Data ||
    type === messageTypes.amf3Data
  )
}
