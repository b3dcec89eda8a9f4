import { isMainThread, type Worker } from 'node:worker_threads'
import { Broadcast, PublisherFeed } from '../../src/live/broadcast.ts'
import { FeedHealth } from '../../src/live/feed-health.ts'
import { InputSession } from '../../src/live/input-session.ts'
import { OutputPace } from '../../src/live/output-pace.ts'
import { OutputSender } from '../../src/live/output-sender.ts'

/**
 * Preloaded into a server under test (`--import`): makes mistakes of ours in every thread, as often as told, at what a test does from outside.
 * Only what belongs to the input that the message came to is hit.
 *
 *   a data message that holds "throw in feed"         the publisher's feed throws at it
 *   a data message that holds "throw in turn"         the next turn of one of the outputs throws
 *   a data message that holds "throw in tick <uid>"   the next look at time throws, in one of the outputs and in the input of that uid
 *   SIGUSR2                                           an uncaught exception, an unhandled rejection, and the database thread ends
 */
const workers: Worker[] = []
process.on('worker', (worker) => workers.push(worker))

const publish = PublisherFeed.prototype.publish
PublisherFeed.prototype.publish = function (message) {
  if (message.body.includes('throw in feed')) throw new TypeError('a mistake in the feed')
  return publish.call(this, message)
}

/** Whose message asked for it, until it has been done. */
let turnToThrow: Broadcast | undefined
let ticksToThrow = { inputId: '', output: false, input: false }

const append = Broadcast.prototype.append
Broadcast.prototype.append = function (media, type, body, timestamp, clock) {
  if (body.includes('throw in turn')) turnToThrow = this
  const inputId = /throw in tick (\w+)/.exec(media.kind === 'data' ? body.toString('latin1') : '')?.[1]
  if (inputId !== undefined) ticksToThrow = { inputId, output: true, input: true }
  append.call(this, media, type, body, timestamp, clock)
}

const broadcasts = new WeakMap<object, Broadcast>()
const listen = Broadcast.prototype.listen
Broadcast.prototype.listen = function (listener) {
  broadcasts.set(listener, this)
  return listen.call(this, listener)
}

const takeTurn = OutputSender.prototype.takeTurn
OutputSender.prototype.takeTurn = function (bytesMax, nowMs) {
  if (turnToThrow !== undefined && broadcasts.get(this) === turnToThrow && this.cursor.started) {
    turnToThrow = undefined
    throw new TypeError('a mistake in a turn')
  }
  return takeTurn.call(this, bytesMax, nowMs)
}

let isItsTick = false
const tickOfInput = InputSession.prototype.tick
InputSession.prototype.tick = function (...told) {
  isItsTick = this.wish.uid === ticksToThrow.inputId
  return tickOfInput.apply(this, told)
}

const observe = OutputPace.prototype.observe
OutputPace.prototype.observe = function (sample) {
  if (isItsTick && ticksToThrow.output) {
    ticksToThrow.output = false
    throw new TypeError('a mistake in the tick of an output')
  }
  observe.call(this, sample)
}

const tick = FeedHealth.prototype.tick
FeedHealth.prototype.tick = function (nowMs) {
  if (isItsTick && ticksToThrow.input && !ticksToThrow.output) {
    ticksToThrow.input = false
    throw new TypeError('a mistake in the tick of an input')
  }
  tick.call(this, nowMs)
}

if (isMainThread)
  process.on('SIGUSR2', () => {
    setTimeout(() => {
      throw new TypeError('a mistake in a timer')
    })
    void Promise.reject(new TypeError('a mistake in a promise'))
    // A thread that has ended has no name any more.
    void workers.find(({ threadName }) => threadName === 'store')?.terminate()
  })
