import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startInProcess } from '../support/in-process.ts'
import { publish } from '../support/publisher.ts'

test('an encoder that floods with tiny messages is paced, and nobody waits for it', { timeout: 60_000 }, async () => {
  await using server = await startInProcess()
  const input = await server.putInput()
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey.reveal() })
  // A key frame of six bytes on chunk stream 6: a header of type 0, then of type 1.
  const first = Buffer.from('0600000000000609010000001701000000ff', 'hex')
  const next = Buffer.from('46000000000006091701000000ff', 'hex')
  publisher.writeRaw(first)
  const messages = 200_000
  publisher.writeRaw(Buffer.concat(new Array<Buffer>(messages).fill(next)))
  const startedAt = performance.now()
  let slowestTurnMs = 0
  while (performance.now() - startedAt < 4_000) {
    const turnAt = performance.now()
    await new Promise((resolve) => setImmediate(resolve))
    slowestTurnMs = Math.max(slowestTurnMs, performance.now() - turnAt)
  }
  assert(slowestTurnMs < 1_000, `a turn of the loop took ${slowestTurnMs} ms`)
  // It acknowledges what it reads. Five seconds at 10,000 messages are 0.7 MB; all of it is 2.8 MB, and is read in one second else.
  assert(publisher.acknowledgedBytes < 2_000_000, `${publisher.acknowledgedBytes} bytes were read`)
})
