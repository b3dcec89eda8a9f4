import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startInProcess } from '../support/in-process.ts'
import { openPublisher, type Publisher, publish } from '../support/publisher.ts'

// A key frame of six bytes on chunk stream 6: a header of type 0, then of type 1.
const first = Buffer.from('0600000000000609010000001701000000ff', 'hex')
const next = Buffer.from('46000000000006091701000000ff', 'hex')
const messages = 200_000
const flood = Buffer.concat(new Array<Buffer>(messages).fill(next))
const floodMs = 4_000
/** Sounds without a body, one byte each: four seconds' worth of messages in one read. */
const empty = Buffer.concat([Buffer.from('070000000000000801000000', 'hex'), Buffer.alloc(40_000, 0xc7)])

/** What a turn of the loop takes meanwhile, and how much of the flood is read. */
async function assertPaced(publisher: Publisher): Promise<void> {
  const startedAt = performance.now()
  let slowestTurnMs = 0
  while (performance.now() - startedAt < floodMs) {
    const turnAt = performance.now()
    await new Promise((resolve) => setImmediate(resolve))
    slowestTurnMs = Math.max(slowestTurnMs, performance.now() - turnAt)
  }
  assert(slowestTurnMs < 1_000, `a turn of the loop took ${slowestTurnMs} ms`)
  // It acknowledges what it reads. Five seconds at 10,000 messages are 0.7 MB; all of it is 2.8 MB, and is read in one second else.
  assert(publisher.acknowledgedBytes < 2_000_000, `${publisher.acknowledgedBytes} bytes were read`)
}

test('an encoder that floods with tiny messages is paced, and nobody waits for it', { timeout: 60_000 }, async () => {
  await using server = await startInProcess()
  const [input, other] = [await server.putInput(), await server.putInput()]
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey.reveal() })
  // Not even one that begins together with its publish, so that it is in debt before it is relayed.
  await using early = await openPublisher({ url: server.rtmpUrl, key: other.streamKey.reveal() })
  await early.requestStream(other.streamKey.reveal())
  early.socket.cork()
  early.command('publish', null, other.streamKey.reveal(), 'live')
  early.writeRaw(Buffer.concat([empty, first]))
  early.socket.uncork()
  early.writeRaw(flood)
  publisher.writeRaw(Buffer.concat([first, flood]))
  await assertPaced(publisher)
  assert(early.acknowledgedBytes < 2_000_000, `${early.acknowledgedBytes} bytes of the early one were read`)
})
