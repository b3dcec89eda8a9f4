import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import type { Bus, Plain, StreamSink } from '../../src/bus/bus.ts'
import { CodedError, type ErrorCode, isCoded } from '../../src/errors.ts'
import type { ManualClock } from './manual-clock.ts'

export type OpenedBus = {
  /** The side that publishes, asks and consumes. */
  readonly near: Bus
  /** The side that subscribes, answers and serves. May be the same. */
  readonly far: Bus
  /** The clock of near's deadlines. */
  readonly clock: ManualClock
  /** What far's `onError` was told. */
  readonly errors: { readonly error: unknown; readonly subject: string }[]
  /** Waits until each side knows of what the other has published, subscribed and served. */
  settle(): Promise<void>
  dispose(): Promise<void>
}

const deadlineMs = 10_000

/** What every bus must do, told as tests. */
export function busContract(name: string, open: () => Promise<OpenedBus>): void {
  describe(`the contract of the bus: ${name}`, { timeout: 60_000 }, () => {
    let opened: OpenedBus
    let near: Bus
    let far: Bus
    beforeEach(async () => {
      opened = await open()
      near = opened.near
      far = opened.far
    })
    afterEach(() => opened.dispose())

    /** All that far is told under `pattern` until the message 'end', which the caller publishes last. */
    function untilEnd(pattern: string): { readonly told: [string, Plain][]; readonly ended: Promise<void> } {
      const told: [string, Plain][] = []
      const ended = new Promise<void>((resolve) => {
        far.subscribe(pattern, (message, subject) => {
          if (message === 'end') resolve()
          else told.push([subject, message])
        })
      })
      return { told, ended }
    }

    describe('events', () => {
      it('reach every subscriber, later than the publish and in its order', async () => {
        const one = untilEnd('a.b')
        const two = untilEnd('a.b')
        await opened.settle()
        for (let index = 0; index < 100; index += 1) near.publish('a.b', index)
        near.publish('a.b', 'end')
        assert.deepEqual([one.told, two.told], [[], []])
        await Promise.all([one.ended, two.ended])
        const wanted = Array.from({ length: 100 }, (_, index) => ['a.b', index])
        assert.deepEqual([one.told, two.told], [wanted, wanted])
      })

      it('keep their order over subjects and kinds of pattern', async () => {
        const order: string[] = []
        const ended = new Promise<void>((resolve) => far.subscribe('end', () => resolve()))
        far.subscribe('a.one', () => order.push('one'))
        far.subscribe('a.>', (_, subject) => subject === 'a.two' && order.push('two'))
        far.subscribe('*.three', () => order.push('three'))
        await opened.settle()
        for (const subject of ['a.three', 'a.one', 'a.two', 'a.one', 'a.three', 'end']) near.publish(subject, null)
        await ended
        assert.deepEqual(order, ['three', 'one', 'two', 'one', 'three'])
      })

      const patterns: [pattern: string, taken: string[], left: string[]][] = [
        ['a', ['a'], ['b', 'a.b', 'A']],
        ['a.b', ['a.b'], ['a', 'a.b.c', 'a.bc']],
        ['a.*', ['a.b', 'a.c'], ['a', 'a.b.c', 'b.a']],
        ['*', ['a', 'b'], ['a.b']],
        ['*.b.*', ['a.b.c'], ['a.b', 'a.c.b']],
        ['a.>', ['a.b', 'a.b.c'], ['a', 'b.a']],
        ['a.*.>', ['a.b.c', 'a.b.c.d'], ['a.b']],
        ['>', ['a', 'a.b', 'x_y-Z9'], []],
      ]
      for (const [pattern, taken, left] of patterns) {
        it(`of the pattern ${pattern} are those of its subjects alone`, async () => {
          const told: string[] = []
          const ended = new Promise<void>((resolve) => {
            far.subscribe('end.of.all', () => resolve())
          })
          far.subscribe(pattern, (_, subject) => subject !== 'end.of.all' && told.push(subject))
          await opened.settle()
          for (const subject of [...left, ...taken]) near.publish(subject, null)
          near.publish('end.of.all', null)
          await ended
          assert.deepEqual(told, taken)
        })
      }

      it('are copies that nobody can change', async () => {
        const told: Plain[] = []
        const done = new Promise<void>((resolve) => {
          far.subscribe('a', (message) => {
            told.push(message)
            assert.throws(() => {
              ;(message as { list: number[] }).list.push(4)
            }, TypeError)
            assert.throws(() => {
              ;(message as { n: number }).n = 2
            }, TypeError)
          })
          far.subscribe('a', (message) => {
            told.push(message)
            resolve()
          })
        })
        await opened.settle()
        const message = { n: 1, list: [1, 2, 3], unset: undefined }
        near.publish('a', message)
        message.n = 9
        message.list.push(9)
        await done
        assert.deepEqual(told, Array(2).fill({ n: 1, list: [1, 2, 3] }))
        assert.deepEqual(opened.errors, [])
      })

      it('are plain data on proper subjects', () => {
        class Key {}
        const notPlain: unknown[] = [new Date(), new Key(), () => {}, Symbol('s'), 1n, undefined, { a: [new Map()] }]
        for (const message of notPlain) assert.throws(() => near.publish('a', message as Plain), TypeError)
        for (const subject of ['', 'a.', '.a', 'a b', 'a.*', '>', 'ä']) {
          assert.throws(() => near.publish(subject, null), TypeError)
          assert.throws(() => near.respond(subject, () => null), TypeError)
          assert.throws(() => near.serveStream(subject, () => {}), TypeError)
        }
        for (const pattern of ['', 'a.', '>.a', 'a*', 'a.>.b', 'a b']) {
          assert.throws(() => near.subscribe(pattern, () => {}), TypeError)
        }
      })

      it('reach the others when one subscriber throws or rejects', async () => {
        far.subscribe('a', () => {
          throw new Error('thrown')
        })
        far.subscribe('a', async () => {
          throw new Error('rejected')
        })
        const { told, ended } = untilEnd('a')
        await opened.settle()
        near.publish('a', 1)
        near.publish('a', 'end')
        await ended
        assert.deepEqual(told, [['a', 1]])
        await opened.settle()
        const messages = opened.errors.map(({ error, subject }) => [subject, (error as Error).message])
        assert.deepEqual(messages.sort(), [
          ['a', 'rejected'],
          ['a', 'rejected'],
          ['a', 'thrown'],
          ['a', 'thrown'],
        ])
      })

      it('stop at once when the subscriber leaves, and only for it', async () => {
        let calls = 0
        const leave = far.subscribe('a', () => {
          calls += 1
          leave()
        })
        const never = far.subscribe('*', () => assert.fail('it had left'))
        const { told, ended } = untilEnd('a')
        await opened.settle()
        near.publish('a', 1)
        near.publish('a', 2)
        never()
        never()
        near.publish('a', 'end')
        await ended
        assert.equal(calls, 1)
        assert.equal(told.length, 2)
        assert.deepEqual(opened.errors, [])
      })

      it('may be published by a subscriber', async () => {
        far.subscribe('ping', (message) => {
          if (Number(message) < 10) far.publish('ping', Number(message) + 1)
          else far.publish('a', 'end')
        })
        const { ended } = untilEnd('a')
        await opened.settle()
        near.publish('ping', 0)
        await ended
      })
    })

    describe('a request', () => {
      it('is answered by the responder', async () => {
        far.respond('sum', (message) => (message as number[]).reduce((sum, term) => sum + term, 0))
        far.respond('later', async (message) => {
          await opened.settle()
          return { heard: message }
        })
        await opened.settle()
        assert.equal(await near.request('sum', [1, 2, 3], { deadlineMs }), 6)
        assert.deepEqual(await near.request('later', 'x', { deadlineMs }), { heard: 'x' })
        assert.equal(opened.clock.alarms, 0)
      })

      it('carries any plain data there and back, frozen', async () => {
        far.respond('echo', (message) => {
          assert.ok(Object.isFrozen(message))
          return message
        })
        await opened.settle()
        await fc.assert(
          fc.asyncProperty(fc.jsonValue(), async (value) => {
            const answer = await near.request('echo', value as Plain, { deadlineMs })
            assert.deepEqual(answer, value)
            assert.ok(Object.isFrozen(answer))
          }),
          { numRuns: 50 },
        )
      })

      it('comes after the events that were published before it', async () => {
        let events = 0
        far.subscribe('event', () => {
          events += 1
        })
        far.respond('count', () => events)
        await opened.settle()
        near.publish('event', null)
        near.publish('event', null)
        const asked = near.request('count', null, { deadlineMs })
        near.publish('event', null)
        assert.equal(await asked, 2)
      })

      it('fails when nobody answers the subject, or no longer', async () => {
        await rejects(near.request('none', null, { deadlineMs }), 'no_responder')
        const leave = far.respond('gone', () => 1)
        await opened.settle()
        assert.equal(await near.request('gone', null, { deadlineMs }), 1)
        leave()
        await opened.settle()
        await rejects(near.request('gone', null, { deadlineMs }), 'no_responder')
        assert.equal(opened.clock.alarms, 0)
      })

      it('goes to the newest responder, whose predecessor may leave', async () => {
        const leave = far.respond('who', () => 'first')
        far.respond('who', () => 'second')
        await opened.settle()
        assert.equal(await near.request('who', null, { deadlineMs }), 'second')
        leave()
        await opened.settle()
        assert.equal(await near.request('who', null, { deadlineMs }), 'second')
      })

      it('fails with the code and the sentence of the responder', async () => {
        far.respond('coded', () => {
          throw new CodedError('dns_failed', 'ENOTFOUND live.example')
        })
        far.respond('foreign', async () => {
          throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
        })
        far.respond('bare', () => {
          throw new TypeError('a mistake')
        })
        far.respond('strange', () => new Date() as unknown as Plain)
        await opened.settle()
        await assert.rejects(near.request('coded', null, { deadlineMs }), (error) => {
          return isCoded(error, 'dns_failed') && error.message === 'ENOTFOUND live.example'
        })
        await assert.rejects(near.request('foreign', null, { deadlineMs }), (error) => {
          return !(error instanceof CodedError) && (error as NodeJS.ErrnoException).code === 'ENOENT'
        })
        await assert.rejects(near.request('bare', null, { deadlineMs }), /a mistake/)
        await assert.rejects(near.request('strange', null, { deadlineMs }), /plain data, not Date/)
        assert.deepEqual(
          opened.errors.map(({ subject }) => subject),
          ['foreign', 'bare', 'strange'],
        )
      })

      it('is given up at its deadline, and the responder hears of it', async () => {
        const responder = patientResponder()
        far.respond('slow', responder.handler)
        await opened.settle()
        const asked = near.request('slow', null, { deadlineMs: 500 })
        await responder.called
        opened.clock.advance(499)
        await opened.settle()
        assert.equal(responder.signal().aborted, false)
        opened.clock.advance(1)
        await rejects(asked, 'request_timeout')
        await responder.aborted
      })

      it('is given up when its signal aborts, and the responder hears of it', async () => {
        const responder = patientResponder()
        far.respond('slow', responder.handler)
        await opened.settle()
        const abort = new AbortController()
        const asked = near.request('slow', null, { deadlineMs, signal: abort.signal })
        await responder.called
        const reason = new Error('the person has left')
        abort.abort(reason)
        await assert.rejects(asked, (error) => error === reason)
        await responder.aborted
        await assert.rejects(
          near.request('slow', null, { deadlineMs, signal: abort.signal }),
          (error) => error === reason,
        )
        assert.equal(opened.clock.alarms, 0)
      })

      it('leaves the signal of an answered responder alone', async () => {
        const signals: AbortSignal[] = []
        far.respond('quick', (_, signal) => {
          signals.push(signal)
          return null
        })
        await opened.settle()
        const abort = new AbortController()
        await near.request('quick', null, { deadlineMs: 500, signal: abort.signal })
        opened.clock.advance(1000)
        abort.abort()
        await opened.settle()
        assert.deepEqual(
          signals.map(({ aborted }) => aborted),
          [false],
        )
      })
    })

    describe('a stream', () => {
      const forever = new AbortController().signal

      it('brings the bytes of the source in order, then ends', async () => {
        far.serveStream('count', (message, sink) => {
          for (let index = 0; index < Number(message); index += 1) sink.write(Uint8Array.of(index, index))
          sink.end()
          assert.equal(sink.write(Uint8Array.of(9)), false)
        })
        await opened.settle()
        const bytes = await collect(near.stream('count', 5, { creditBytes: 100, signal: forever }))
        assert.deepEqual([...bytes], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
        assert.deepEqual(opened.errors, [])
      })

      it('takes no more than the credit beyond what was consumed', async () => {
        let writtenBytes = 0
        let stalls = 0
        const full = deferred<void>()
        far.serveStream('flood', (_, sink) => {
          const fill = () => {
            while (writtenBytes < 100_000) {
              writtenBytes += 1000
              if (!sink.write(new Uint8Array(1000))) {
                stalls += 1
                full.resolve()
                return
              }
            }
            sink.end()
          }
          sink.onDrain = fill
          fill()
        })
        await opened.settle()
        let consumedBytes = 0
        for await (const bytes of near.stream('flood', null, { creditBytes: 3000, signal: forever })) {
          if (consumedBytes === 0) {
            await full.promise
            await opened.settle()
          }
          // What is in this loop's hands is not consumed yet.
          assert.ok(writtenBytes - consumedBytes <= 3000, `${writtenBytes} written, ${consumedBytes} consumed`)
          consumedBytes += bytes.length
        }
        assert.equal(consumedBytes, 100_000)
        assert.ok(stalls > 10)
      })

      it('cuts a write that is larger than the credit, and refuses one that did not wait', async () => {
        far.serveStream('large', (_, sink) => {
          assert.equal(sink.write(Uint8Array.from({ length: 25 }, (_, index) => index)), false)
          assert.throws(() => sink.write(Uint8Array.of(1)), RangeError)
          sink.onDrain = () => {
            sink.write(Uint8Array.of(25))
            sink.end()
          }
        })
        await opened.settle()
        const pieces: Uint8Array[] = []
        for await (const bytes of near.stream('large', null, { creditBytes: 10, signal: forever })) pieces.push(bytes)
        assert.ok(pieces.every(({ length }) => length <= 10))
        assert.deepEqual(
          [...Buffer.concat(pieces)],
          Array.from({ length: 26 }, (_, index) => index),
        )
        assert.deepEqual(opened.errors, [])
      })

      it('brings any pieces whole under any credit', async () => {
        let pieces: Uint8Array[] = []
        far.serveStream('pieces', (_, sink) => {
          // One buffer for all: the sink must not hold on to it.
          const buffer = new Uint8Array(300)
          const rest = [...pieces]
          const fill = () => {
            for (let piece = rest.shift(); piece !== undefined; piece = rest.shift()) {
              buffer.set(piece)
              const goOn = sink.write(buffer.subarray(0, piece.length))
              buffer.fill(0xee)
              if (!goOn) return
            }
            sink.end()
          }
          sink.onDrain = fill
          fill()
        })
        await opened.settle()
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
            fc.integer({ min: 1, max: 400 }),
            async (chosen, creditBytes) => {
              pieces = chosen
              const bytes = await collect(near.stream('pieces', null, { creditBytes, signal: forever }))
              assert.ok(bytes.equals(Buffer.concat(chosen)))
            },
          ),
          { numRuns: 40 },
        )
        assert.deepEqual(opened.errors, [])
      })

      it('brings what was written, then the error with which the source ends', async () => {
        far.serveStream('broken', (_, sink) => {
          sink.write(Uint8Array.of(1, 2, 3))
          sink.end(new CodedError('input_deleted', 'It is gone.'))
        })
        await opened.settle()
        for (const creditBytes of [1, 100]) {
          const got: number[] = []
          await assert.rejects(
            async () => {
              for await (const bytes of near.stream('broken', null, { creditBytes, signal: forever }))
                got.push(...bytes)
            },
            (error) => isCoded(error, 'input_deleted') && error.message === 'It is gone.',
          )
          assert.deepEqual(got, [1, 2, 3])
        }
      })

      it('tells the source when the consumer leaves', async () => {
        const source = endlessSource()
        far.serveStream('endless', source.handler)
        await opened.settle()
        for await (const bytes of near.stream('endless', null, { creditBytes: 10, signal: forever })) {
          assert.ok(bytes.length > 0)
          break
        }
        await source.aborted
      })

      it('ends when its signal aborts, and tells the source', async () => {
        const source = endlessSource()
        far.serveStream('endless', source.handler)
        far.serveStream('silent', (_, sink) => source.remember(sink))
        await opened.settle()
        for (const subject of ['endless', 'silent']) {
          const abort = new AbortController()
          const bytes = near.stream(subject, null, { creditBytes: 10, signal: abort.signal })[Symbol.asyncIterator]()
          const next = bytes.next()
          if (subject === 'endless') assert.equal((await next).done, false)
          else await source.called
          abort.abort()
          assert.equal((await (subject === 'endless' ? bytes.next() : next)).done, true)
          await source.aborted
          source.reset()
          assert.equal((await collect(near.stream(subject, null, { creditBytes: 1, signal: abort.signal }))).length, 0)
        }
      })

      it('fails when nobody serves the subject, or no longer', async () => {
        const read = () => collect(near.stream('none', null, { creditBytes: 1, signal: forever }))
        await rejects(read(), 'no_responder')
        const leave = far.serveStream('none', (_, sink) => sink.end())
        await opened.settle()
        assert.equal((await read()).length, 0)
        leave()
        await opened.settle()
        await rejects(read(), 'no_responder')
        await assert.rejects(collect(near.stream('none', null, { creditBytes: 0, signal: forever })), RangeError)
      })

      it('fails when its source throws, at first or later', async () => {
        far.serveStream('throws', (message, sink) => {
          if (message === 'at first') throw new Error('at first')
          sink.onDrain = () => {
            throw new Error('later')
          }
          sink.write(Uint8Array.of(1))
        })
        await opened.settle()
        for (const message of ['at first', 'later']) {
          const read = collect(near.stream('throws', message, { creditBytes: 1, signal: forever }))
          await assert.rejects(read, { message })
        }
        const told = opened.errors.map(({ error, subject }) => [subject, (error as Error).message])
        assert.deepEqual(told, [
          ['throws', 'at first'],
          ['throws', 'later'],
        ])
      })
    })

    describe('close', () => {
      it('still delivers what was published before, and nothing after', async () => {
        // Another side can only be told by one that is not closed itself.
        const { told, ended } = untilEnd('a')
        await opened.settle()
        near.publish('a', 1)
        near.publish('a', 'end')
        const closing = near.close()
        near.publish('a', 2)
        await Promise.all([ended, closing])
        await near.close()
        near.publish('a', 3)
        near.subscribe('a', () => assert.fail('it is closed'))()
        assert.deepEqual(told, [['a', 1]])
      })

      it('rejects requests, ends streams, and tells those who serve them', async () => {
        const responder = patientResponder()
        const source = endlessSource()
        far.respond('slow', responder.handler)
        far.serveStream('silent', (_, sink) => source.remember(sink))
        await opened.settle()
        const signal = new AbortController().signal
        const asked = near.request('slow', null, { deadlineMs })
        const read = collect(near.stream('silent', null, { creditBytes: 1, signal }))
        await Promise.all([responder.called, source.called])
        await Promise.all([rejects(asked, 'bus_closed'), near.close()])
        assert.equal((await read).length, 0)
        await Promise.all([responder.aborted, source.aborted])
        await rejects(near.request('slow', null, { deadlineMs }), 'bus_closed')
        await rejects(collect(near.stream('silent', null, { creditBytes: 1, signal })), 'bus_closed')
        assert.equal(opened.clock.alarms, 0)
      })
    })
  })
}

export async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => isCoded(error, code) || assert.fail(`${String(error)} is not ${code}`))
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream))
}

export function deferred<T>() {
  return Promise.withResolvers<T>()
}

/** A responder that never answers. */
export function patientResponder() {
  const called = deferred<void>()
  const aborted = deferred<void>()
  let seen: AbortSignal | undefined
  return {
    called: called.promise,
    aborted: aborted.promise,
    signal: () => seen ?? assert.fail('it was not called'),
    handler(_message: Plain, signal: AbortSignal): Promise<Plain> {
      seen = signal
      signal.addEventListener('abort', () => aborted.resolve())
      called.resolve()
      return once(signal, 'abort').then(() => Promise.reject(new Error('too late for an answer')))
    },
  }
}

/** A source that writes as long as it may. */
export function endlessSource() {
  let called = deferred<void>()
  let aborted = deferred<void>()
  const remember = (sink: StreamSink) => {
    sink.signal.addEventListener('abort', () => aborted.resolve())
    called.resolve()
  }
  return {
    get called() {
      return called.promise
    },
    get aborted() {
      return aborted.promise
    },
    reset() {
      called = deferred<void>()
      aborted = deferred<void>()
    },
    remember,
    handler(_message: Plain, sink: StreamSink): void {
      remember(sink)
      const fill = () => {
        while (sink.write(new Uint8Array(7))) {
          // until the credit is used up
        }
      }
      sink.onDrain = fill
      fill()
    },
  }
}
