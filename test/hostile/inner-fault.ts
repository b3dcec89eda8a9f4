import { isMainThread, type Worker } from 'node:worker_threads'
import { PublisherFeed } from '../../src/live/broadcast.ts'
import { OutputSender } from '../../src/live/output-sender.ts'

/**
 * Preloaded into a server under test (`--import`): makes mistakes of ours in every thread, as often as told, at what a test does from outside.
 *
 *   a data message that holds "throw in feed"   the publisher's feed throws at it
 *   a data message that holds "throw in turn"   the next turn of one output throws
 *   SIGUSR2                                     an uncaught exception, an unhandled rejection, and the database thread ends
 */
const workers: Worker[] = []
process.on('worker', (worker) => workers.push(worker))

let turnsToThrow = 0

const publish = PublisherFeed.prototype.publish
PublisherFeed.prototype.publish = function (message) {
  if (message.body.includes('throw in feed')) throw new TypeError('a mistake in the feed')
  if (message.body.includes('throw in turn')) turnsToThrow = 1
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

if (isMainThread)
  process.on('SIGUSR2', () => {
    setTimeout(() => {
      throw new TypeError('a mistake in a timer')
    })
    void Promise.reject(new TypeError('a mistake in a promise'))
    // The store's is the first that is ever started.
    void workers[0]?.terminate()
  })
