import { isMainThread, type Worker } from 'node:worker_threads'
import { PublisherFeed } from '../../src/live/broadcast.ts'
import { FeedHealth } from '../../src/live/feed-health.ts'
import { OutputPace } from '../../src/live/output-pace.ts'
import { OutputSender } from '../../src/live/output-sender.ts'

/**
 * Preloaded into a server under test (`--import`): makes mistakes of ours in every thread, as often as told, at what a test does from outside.
 *
 *   a data message that holds "throw in feed"   the publisher's feed throws at it
 *   a data message that holds "throw in turn"   the next turn of one output throws
 *   a data message that holds "throw in tick"   the next look at time throws, in one output and in one input
 *   SIGUSR2                                     an uncaught exception, an unhandled rejection, and the database thread ends
 */
const workers: Worker[] = []
process.on('worker', (worker) => workers.push(worker))

let turnsToThrow = 0
let ticksToThrow = { output: 0, input: 0 }

const publish = PublisherFeed.prototype.publish
PublisherFeed.prototype.publish = function (message) {
  if (message.body.includes('throw in feed')) throw new TypeError('a mistake in the feed')
  if (message.body.includes('throw in turn')) turnsToThrow = 1
  if (message.body.includes('throw in tick')) ticksToThrow = { output: 1, input: 1 }
  return publish.call(this, message)
}

const takeTurn = OutputSender.prototype.takeTurn
OutputSender.prototype.takeTurn = function (bytesMax, nowMs) {
  if (turnsToThrow > 0 && this.cursor.started) {
    turnsToThrow--
    throw new TypeError('a mistake in a turn')
  }
  return takeTurn.call(this, bytesMax, nowMs)
}

const observe = OutputPace.prototype.observe
OutputPace.prototype.observe = function (sample) {
  if (ticksToThrow.output-- > 0) throw new TypeError('a mistake in the tick of an output')
  observe.call(this, sample)
}

const tick = FeedHealth.prototype.tick
FeedHealth.prototype.tick = function (nowMs) {
  if (ticksToThrow.output <= 0 && ticksToThrow.input-- > 0) throw new TypeError('a mistake in the tick of an input')
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
