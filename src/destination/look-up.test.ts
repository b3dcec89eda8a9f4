import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { AddressPolicy } from './address-policy.ts'
import { LookUps, type ResolvedAddress, systemResolve } from './look-up.ts'

const never = new AbortController().signal

describe('systemResolve', () => {
  // The odd spellings that a check of the text alone would let through: they count as what they resolve to.
  for (const host of ['2130706433', '0177.0.0.1', '0x7f.1', '127.1', '0x7f000001', '127.0.0.1', 'localhost'])
    it(`${host} is loopback, and refused as such`, async () => {
      const addresses = await systemResolve(host, never)
      assert.ok(addresses.length > 0)
      for (const { address, family } of addresses) {
        assert.ok(address === '127.0.0.1' ? family === 4 : address === '::1' && family === 6, address)
        assert.equal(new AddressPolicy([]).check(address).allowed, false)
      }
    })

  it('tells the resolver’s code', async () => {
    // A label of more than 63 characters: refused without asking a name server.
    await assert.rejects(systemResolve('a'.repeat(64), never), ({ code }: NodeJS.ErrnoException) =>
      /^(ENOTFOUND|EAI_)/.test(code ?? ''),
    )
  })

  it('ends with the signal’s reason, before or while it asks', async () => {
    const reason = new Error('enough')
    await assert.rejects(systemResolve('127.0.0.1', AbortSignal.abort(reason)), reason)
    const stop = new AbortController()
    const asked = systemResolve('localhost', stop.signal)
    stop.abort(reason)
    await assert.rejects(asked, reason)
  })

  it('answers everybody who asks at the same time, and asks anew the next time', async () => {
    const [one, two] = await Promise.all([systemResolve('127.0.0.1', never), systemResolve('127.0.0.1', never)])
    assert.equal(one, two)
    assert.notEqual(await systemResolve('127.0.0.1', never), one)
  })
})

describe('LookUps', () => {
  const found: readonly ResolvedAddress[] = [{ address: '192.0.2.1', family: 4 }]

  /** Eight places, as with `npm start`, and a name server that answers when the test says so. */
  function lookUps() {
    const clock = new ManualClock()
    const asked = new Map<string, PromiseWithResolvers<readonly ResolvedAddress[]>>()
    const all = new LookUps({
      ask(host) {
        assert.ok(!asked.has(host), `${host} is asked twice at a time`)
        asked.set(host, Promise.withResolvers())
        return asked.get(host)!.promise
      },
      clock,
      places: 8,
    })
    const ask = (host: string, signal = never) => {
      const answer = all.resolve(host, signal)
      answer.catch(() => {})
      return answer
    }
    const answer = async (host: string, error?: Error) => {
      const question = asked.get(host)
      asked.delete(host)
      if (error) question?.reject(error)
      else question?.resolve(found)
      // For the next one to begin.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { all, clock, asked, ask, answer, underway: () => [...asked.keys()] }
  }

  /** An attempt at each of fifty names that gives up after ten seconds, when the names of the name server do not answer. */
  async function giveUpAtFifty({ clock, ask }: ReturnType<typeof lookUps>) {
    const attempts = new AbortController()
    const all = Array.from({ length: 50 }, (_, index) => ask(`silent-${index}`, attempts.signal))
    clock.advance(10_000)
    attempts.abort(new Error('given up'))
    await Promise.allSettled(all)
  }

  it('fifty names under a silent name server leave places for the others', async () => {
    const server = lookUps()
    const { all, clock, asked, ask, answer, underway } = server
    const quick = ask('quick.example')
    await answer('quick.example')
    assert.deepEqual(await quick, found)

    await giveUpAtFifty(server)
    assert.equal(underway().length, 6, 'new names leave two places')
    assert.equal(all.waiting, 0, 'who has given up does not wait')
    const second = ask('quick.example')
    assert.ok(asked.has('quick.example'), 'a name that was quick has a place')
    await answer('quick.example')
    assert.deepEqual(await second, found)

    // The resolver gives up as well. Each time four more are known to be slow.
    for (let round = 0; round < 12; round++) {
      clock.advance(5_000)
      for (const host of underway()) await answer(host, Object.assign(new Error('silent'), { code: 'EAI_AGAIN' }))
      await giveUpAtFifty(server)
    }
    assert.equal(underway().length, 2, 'slow names have two places')
    for (const host of ['new-1', 'new-2', 'new-3', 'new-4']) ask(host)
    assert.equal(underway().length, 6, 'and new names the others')
    ask('new-5')
    assert.ok(!asked.has('new-5'))
    ask('quick.example')
    assert.ok(asked.has('quick.example'))
    await answer('new-1')
    assert.ok(asked.has('new-5'), 'the next one has the place')
  })

  it('a name that was slow and is quick again counts as quick', async () => {
    const { clock, asked, ask, answer } = lookUps()
    const slow = ['a', 'b', 'c']
    for (const host of slow) ask(host)
    clock.advance(2_001)
    for (const host of slow) await answer(host)
    for (const host of slow) ask(host)
    assert.deepEqual([...asked.keys()], ['a', 'b'])
    await answer('a')
    assert.deepEqual([...asked.keys()], ['b', 'c'])
    ask('a')
    assert.ok(asked.has('a'))
  })

  it('an answer, or an error, is for all who wait; one that gives up does not take it from the others', async () => {
    const { all, asked, ask, answer } = lookUps()
    const stop = new AbortController()
    const others = Array.from({ length: 6 }, (_, index) => `other-${index}`)
    for (const host of others) void ask(host)
    const [one, two] = [ask('a', stop.signal), ask('a')]
    stop.abort(new Error('enough'))
    await assert.rejects(one, /enough/)
    assert.equal(all.waiting, 1)
    await answer('other-0')
    assert.ok(asked.has('a'))
    await answer('a', new Error('ENOTFOUND'))
    await assert.rejects(two, /ENOTFOUND/)
  })

  it('so many hosts are remembered', async () => {
    const { asked, ask, answer } = lookUps()
    for (let index = 0; index <= 1_000; index++) {
      ask(`quick-${index}`)
      await answer(`quick-${index}`)
    }
    for (const host of ['1', '2', '3', '4', '5', '6']) ask(host)
    ask('quick-0')
    assert.ok(!asked.has('quick-0'), 'forgotten')
    ask('quick-1')
    assert.ok(asked.has('quick-1'))
  })
})
