import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ClientHandshake, handshakeBytes, ServerHandshake } from './handshake.ts'
import { ProtocolError } from './message.ts'

/** Bytes that tell their place. */
const counting = (start: number) => (length: number) =>
  Buffer.from(Uint8Array.from({ length }, (_, at) => (at + start) & 0xff))

function simpleHello(): Buffer {
  return Buffer.concat([Buffer.of(3), Buffer.alloc(8), counting(7)(handshakeBytes - 8)])
}

/** What FFmpeg sends: version 9.0.124.2 and an HMAC-SHA256 of the rest, at a place that four bytes of C1 say. */
function digestHello(): Buffer {
  const hello = counting(31)(handshakeBytes)
  hello.writeUInt32BE(0, 0)
  Buffer.of(9, 0, 124, 2).copy(hello, 4)
  const at = 12 + ((hello[8]! + hello[9]! + hello[10]! + hello[11]!) % 728)
  const rest = Buffer.concat([hello.subarray(0, at), hello.subarray(at + 32)])
  createHmac('sha256', 'Genuine Adobe Flash Player 001').update(rest).digest().copy(hello, at)
  return Buffer.concat([Buffer.of(3), hello])
}

/** Pushes the bytes in parts that end at the given places. @returns all replies and all that is left over. */
function pushCut(handshake: ServerHandshake | ClientHandshake, bytes: Buffer, cuts: readonly number[]) {
  const replies: Buffer[] = []
  const rest: Buffer[] = []
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const end of [...ends, bytes.length]) {
    const answer = handshake.push(bytes.subarray(from, end))
    if (answer.reply) replies.push(answer.reply)
    if (answer.rest) rest.push(answer.rest)
    from = end
  }
  return { replies, rest: Buffer.concat(rest) }
}

const cuts = fc.array(fc.nat(), { maxLength: 6 })

describe('the server side of the handshake', () => {
  for (const [name, hello] of [
    ['simple', simpleHello()],
    ['with a digest, as FFmpeg sends it', digestHello()],
  ] as const)
    it(`answers S0, S1 and S2 in one buffer, then leaves what follows C2: ${name}`, () => {
      fc.assert(
        fc.property(cuts, fc.uint8Array({ maxLength: 20 }), (places, following) => {
          const handshake = new ServerHandshake(counting(99))
          const echo = Buffer.alloc(handshakeBytes, 0x55)
          const { replies, rest } = pushCut(handshake, Buffer.concat([hello, echo, following]), places)
          assert.equal(replies.length, 1)
          const reply = replies[0]!
          assert.equal(reply.length, 1 + 2 * handshakeBytes)
          assert.equal(reply[0], 3)
          // Players that see a version here look for a digest (ffplay would end the connection).
          assert.deepEqual(reply.subarray(1, 9), Buffer.alloc(8))
          assert.deepEqual(reply.subarray(9, 1 + handshakeBytes), counting(99)(handshakeBytes - 8))
          assert.deepEqual(reply.subarray(1 + handshakeBytes), hello.subarray(1))
          assert.deepEqual(rest, Buffer.from(following))
          assert.equal(handshake.done, true)
        }),
        { numRuns: 60 },
      )
    })

  it('answers at the last byte of C1 and not before, and is done at the last byte of C2', () => {
    const handshake = new ServerHandshake()
    const hello = simpleHello()
    assert.deepEqual(handshake.push(hello.subarray(0, handshakeBytes)), {})
    const { reply, rest } = handshake.push(hello.subarray(handshakeBytes))
    assert.equal(reply?.length, 1 + 2 * handshakeBytes)
    assert.equal(rest, undefined)
    assert.deepEqual(handshake.push(Buffer.alloc(handshakeBytes - 1)), {})
    assert.equal(handshake.done, false)
    assert.equal(handshake.push(Buffer.of(0)).rest?.length, 0)
    assert.equal(handshake.done, true)
    assert.deepEqual(handshake.push(Buffer.of(1, 2)).rest, Buffer.of(1, 2))
  })

  it('does not keep what was pushed: the buffer may be used again', () => {
    const handshake = new ServerHandshake()
    const hello = simpleHello()
    const pushed = Buffer.from(hello.subarray(0, 1000))
    handshake.push(pushed)
    pushed.fill(0)
    const { reply } = handshake.push(hello.subarray(1000))
    assert.deepEqual(reply?.subarray(1 + handshakeBytes), hello.subarray(1))
  })

  it('refuses TLS, HTTP, RTMPE and anything else at the first byte', () => {
    for (const first of [0x16, 0x47, 0x50, 0x06, 0x08, 0x00, 0x02])
      assert.throws(() => new ServerHandshake().push(Buffer.of(first)), ProtocolError)
  })

  it('draws different bytes for each connection', () => {
    const [one, other] = [new ServerHandshake(), new ServerHandshake()].map((each) => each.push(simpleHello()).reply!)
    assert.notDeepEqual(one, other)
  })
})

describe('the client side of the handshake', () => {
  it('says C0 and C1, echoes S1 at its last byte, and leaves what follows S2', () => {
    fc.assert(
      fc.property(cuts, fc.uint8Array({ maxLength: 20 }), (places, following) => {
        const handshake = new ClientHandshake(counting(5))
        assert.deepEqual(handshake.hello.subarray(0, 9), Buffer.of(3, 0, 0, 0, 0, 0, 0, 0, 0))
        assert.equal(handshake.hello.length, 1 + handshakeBytes)
        const own = counting(200)(handshakeBytes)
        const answer = Buffer.concat([Buffer.of(3), own, Buffer.alloc(handshakeBytes, 0xee), following])
        const { replies, rest } = pushCut(handshake, answer, places)
        assert.deepEqual(replies, [own])
        assert.deepEqual(rest, Buffer.from(following))
        assert.equal(handshake.done, true)
      }),
      { numRuns: 60 },
    )
  })

  it('sends C2 although S2 is still missing', () => {
    const handshake = new ClientHandshake()
    assert.equal(handshake.push(Buffer.alloc(1 + handshakeBytes, 3)).reply?.length, handshakeBytes)
    assert.equal(handshake.done, false)
  })

  it('takes a server that answers with a higher version, refuses what is no RTMP at the first byte', () => {
    assert.deepEqual(new ClientHandshake().push(Buffer.of(6)), {})
    for (const first of [0x48, 0x15, 0x00, 0x02])
      assert.throws(() => new ClientHandshake().push(Buffer.of(first)), ProtocolError)
    assert.throws(() => new ClientHandshake().push(Buffer.alloc(4000, 0x48)), ProtocolError)
  })

  it('meets the server side', () => {
    const client = new ClientHandshake()
    const server = new ServerHandshake()
    const answer = server.push(client.hello)
    const end = client.push(answer.reply!)
    assert.equal(client.done, true)
    server.push(end.reply!)
    assert.equal(server.done, true)
  })
})
