import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { AddressPolicy } from './address-policy.ts'
import type { Resolve } from './look-up.ts'
import { interfaceAddresses, OwnAddresses } from './own-addresses.ts'

function setUp(publicHost: string, resolve: Resolve) {
  const asked: string[] = []
  const clock = new ManualClock()
  const counted: Resolve = (host, signal) => {
    asked.push(host)
    return resolve(host, signal)
  }
  const own = new OwnAddresses(publicHost, { resolve: counted, clock })
  return { own, asked, clock, policy: new AddressPolicy([], own) }
}

const at =
  (address: string): Resolve =>
  async () => [{ address, family: 4 }]

describe('OwnAddresses', () => {
  it('are those of the interfaces', () => {
    assert.ok(interfaceAddresses().includes('127.0.0.1'))
    assert.ok(setUp('localhost', at('8.8.8.8')).own.now().includes('127.0.0.1'))
  })

  it('and those of PUBLIC_HOST, which are refused as this server itself', async () => {
    const { policy } = setUp('live.example.test', at('8.8.4.4'))
    await policy.refresh()
    const verdict = policy.check('8.8.4.4')
    assert.ok(!verdict.allowed && /this server itself/.test(verdict.reason))
    assert.equal(policy.check('::ffff:8.8.4.4').allowed, false)
    assert.equal(policy.check('8.8.8.8').allowed, true)
    assert.equal(setUp('8.8.4.4', at('1.1.1.1')).policy.check('8.8.4.4').allowed, false)
  })

  it('are looked up once a minute at most, and never for localhost or an address', async () => {
    const { own, asked, clock } = setUp('live.example.test', at('8.8.4.4'))
    await Promise.all([own.refresh(), own.refresh()])
    clock.advance(59_000)
    await own.refresh()
    assert.equal(asked.length, 1)
    clock.advance(1_000)
    await own.refresh()
    assert.equal(asked.length, 2)
    for (const host of ['localhost', '8.8.4.4', '2001:db8::1']) {
      const other = setUp(host, at('1.1.1.1'))
      await other.own.refresh()
      assert.deepEqual(other.asked, [])
    }
  })

  it('stay as they were when the look-up fails', async () => {
    let fails = false
    const { own, clock } = setUp('live.example.test', async () => {
      if (fails) throw Object.assign(new Error('look-up'), { code: 'EAI_AGAIN' })
      return [{ address: '8.8.4.4', family: 4 }]
    })
    await own.refresh()
    fails = true
    clock.advance(61_000)
    await own.refresh()
    assert.ok(own.now().includes('8.8.4.4'))
  })

  it('wait for a silent name server a second at most, and take its answer later', async () => {
    const answer = Promise.withResolvers<{ address: string; family: 4 }[]>()
    const { own, clock } = setUp('live.example.test', () => answer.promise)
    const refreshed = own.refresh()
    clock.advance(1_000)
    await refreshed
    assert.equal(clock.alarms, 0)
    answer.resolve([{ address: '8.8.4.4', family: 4 }])
    await own.refresh()
    assert.ok(own.now().includes('8.8.4.4'))
  })
})
