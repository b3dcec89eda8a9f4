import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AddressPolicy } from './address-policy.ts'
import { systemResolve } from './look-up.ts'

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
