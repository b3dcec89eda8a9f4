import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { CodedError } from '../errors.ts'
import { ThreadLink, withTransfer } from './thread-link.ts'

type Here = { add(given: { a: number; b: number }): Promise<number>; note(given: string): void }
type There = {
  port(given: undefined): Promise<MessagePort>
  coded(given: undefined): Promise<void>
  ofSystem(given: undefined): Promise<void>
  never(given: undefined): Promise<void>
}

function linked() {
  const { port1, port2 } = new MessageChannel()
  const notes: string[] = []
  const here = new ThreadLink<There, Here>(port1, {
    add: async ({ a, b }) => a + b,
    note: (text) => void notes.push(text),
  })
  const there = new ThreadLink<Here, There>(port2, {
    async port() {
      const channel = new MessageChannel()
      channel.port2.postMessage('through the port')
      return withTransfer(channel.port1, [channel.port1])
    },
    coded: () => Promise.reject(new CodedError('bus_closed', 'closed, as a test wants')),
    ofSystem: () => Promise.reject(Object.assign(new Error('no'), { code: 'EADDRINUSE' })),
    never: () => new Promise<void>(() => {}),
  })
  return { here, there, notes, [Symbol.dispose]: () => port1.close() }
}

test('calls are told and asked in their order, both ways', async () => {
  using both = linked()
  both.there.tell('note', 'first')
  both.there.tell('note', 'second')
  assert.equal(await both.there.ask('add', { a: 2, b: 3 }), 5)
  assert.deepEqual(both.notes, ['first', 'second'])
})

test('an answer may hand over a port', async () => {
  using both = linked()
  const port = await both.here.ask('port', undefined)
  const text = await new Promise((resolve) => port.once('message', resolve))
  assert.equal(text, 'through the port')
  port.close()
})

test('an error keeps its code, ours as ours', async () => {
  using both = linked()
  await assert.rejects(both.here.ask('coded', undefined), (error) => {
    return error instanceof CodedError && error.code === 'bus_closed' && error.message === 'closed, as a test wants'
  })
  await assert.rejects(both.here.ask('ofSystem', undefined), (error) => {
    return !(error instanceof CodedError) && (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
  })
})

test('who waits for a thread that has ended is told', async () => {
  using both = linked()
  const waiting = both.here.ask('never', undefined)
  both.here.cut()
  await assert.rejects(waiting, { code: 'no_responder' })
  await assert.rejects(both.here.ask('never', undefined), { code: 'no_responder' })
})
