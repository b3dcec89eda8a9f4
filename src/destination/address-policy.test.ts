import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AddressPolicy, parseCidr } from './address-policy.ts'

const refused: readonly (readonly [address: string, reason: RegExp])[] = [
  ['127.0.0.1', /loopback/],
  ['127.255.255.254', /loopback/],
  ['10.1.2.3', /private/],
  ['172.16.0.1', /private/],
  ['172.31.255.255', /private/],
  ['192.168.1.1', /private/],
  ['169.254.1.1', /link-local/],
  ['169.254.169.254', /metadata/],
  ['168.63.129.16', /Azure/],
  ['100.64.0.1', /carrier-grade/],
  ['100.100.100.200', /carrier-grade/],
  ['224.0.0.1', /multicast/],
  ['239.255.255.255', /multicast/],
  ['255.255.255.255', /broadcast/],
  ['0.0.0.0', /unspecified/],
  ['0.1.2.3', /unspecified/],
  ['240.0.0.1', /reserved/],
  ['192.0.0.192', /reserved/],
  ['192.0.2.1', /reserved/],
  ['198.51.100.1', /reserved/],
  ['203.0.113.1', /reserved/],
  ['198.18.0.1', /reserved/],
  ['198.19.255.255', /reserved/],
  ['192.88.99.1', /reserved/],
  ['::', /unspecified/],
  ['::1', /loopback/],
  ['0:0:0:0:0:0:0:1', /loopback/],
  ['fe80::1', /link-local/],
  ['fe80::1%eth0', /link-local/],
  ['febf::1', /link-local/],
  ['fec0::1', /site-local/],
  ['fc00::1', /unique-local/],
  ['fd00:ec2::254', /unique-local/],
  ['ff02::1', /multicast/],
  ['100::1', /reserved/],
  ['2001:db8::1', /reserved/],
  ['3fff::1', /reserved/],
  ['2001:2::1', /reserved/],
  ['2001:10::1', /reserved/],
  ['5f00::1', /reserved/],
  ['4000::1', /reserved/],
  ['1234::1', /reserved/],
  // IPv6 that hides an IPv4 address.
  ['::ffff:127.0.0.1', /loopback/],
  ['::ffff:7f00:1', /loopback/],
  ['::ffff:169.254.169.254', /metadata/],
  ['::ffff:10.0.0.1', /private/],
  ['::127.0.0.1', /written as IPv6/],
  ['::8.8.8.8', /written as IPv6/],
  ['::ffff:0:127.0.0.1', /translated/],
  ['64:ff9b::7f00:1', /NAT64/],
  ['64:ff9b::8.8.8.8', /NAT64/],
  ['64:ff9b:1::a00:1', /NAT64/],
  ['2002:7f00:1::1', /6to4/],
  ['2002:808:808::1', /6to4/],
  ['2001:0:53aa:64c::1', /Teredo/],
  // What a look-up does not give, and ipaddr.js would read.
  ['2130706433', /not an IP/],
  ['0177.0.0.1', /not an IP/],
  ['0x7f.1', /not an IP/],
  ['127.1', /not an IP/],
  ['localhost', /not an IP/],
  ['', /not an IP/],
]

const allowed = [
  '8.8.8.8',
  '1.1.1.1',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.0.1',
  '172.32.0.1',
  '169.253.1.1',
  '168.63.129.17',
  '11.0.0.1',
  '126.1.1.1',
  '128.0.0.1',
  '223.255.255.1',
  '2606:4700::1111',
  '2a00:1450:4001::200e',
  '::ffff:8.8.8.8',
]

describe('AddressPolicy', () => {
  const policy = new AddressPolicy([])
  for (const [address, reason] of refused)
    it(`refuses ${address || 'nothing'}`, () => {
      const verdict = policy.check(address)
      assert.ok(!verdict.allowed)
      assert.match(verdict.reason, reason)
    })
  for (const address of allowed)
    it(`allows ${address}`, () => assert.deepEqual(policy.check(address), { allowed: true }))

  it('allows what DESTINATION_ALLOW names, and nothing beside it', () => {
    const lab = new AddressPolicy(['127.0.0.0/8', '::1/128', '64:ff9b::/96', '192.168.7.7'])
    for (const address of ['127.0.0.1', '127.9.9.9', '::ffff:127.0.0.1', '::1', '64:ff9b::8.8.8.8', '192.168.7.7'])
      assert.equal(lab.check(address).allowed, true, address)
    for (const address of ['10.0.0.1', '::', 'fe80::1', '192.168.7.8', '64:ff9b:1::1', '0.0.0.0'])
      assert.equal(lab.check(address).allowed, false, address)
  })

  it('takes a mapped CIDR for the IPv4 range inside', () => {
    const lab = new AddressPolicy(['::ffff:10.0.0.0/104'])
    assert.equal(lab.check('10.200.0.1').allowed, true)
    assert.equal(lab.check('192.168.0.1').allowed, false)
  })

  it("refuses this server's own addresses, in every spelling, unless they are named", () => {
    const own = ['8.8.4.4', '2606:4700:0::5', 'fe80::5%eth0']
    const known = { now: () => own, refresh: async () => {} }
    const guarded = new AddressPolicy([], known)
    for (const address of ['8.8.4.4', '::ffff:8.8.4.4', '2606:4700::5']) {
      const verdict = guarded.check(address)
      assert.ok(!verdict.allowed)
      assert.match(verdict.reason, /this server itself/)
    }
    assert.equal(guarded.check('8.8.8.8').allowed, true)
    assert.equal(new AddressPolicy(['8.8.4.0/24'], known).check('8.8.4.4').allowed, true)
    own.push('8.8.8.8')
    assert.equal(guarded.check('8.8.8.8').allowed, false, 'an interface that came later counts')
  })

  it('judges a mapped address as the IPv4 address inside', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        assert.deepEqual(policy.check(`::ffff:${address}`), policy.check(address))
      }),
    )
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.ipV6(), fc.string()), (text) => typeof policy.check(text).allowed === 'boolean'))
  })
})

describe('parseCidr', () => {
  for (const text of ['10.0.0.0/8', '10.1.2.3/8', '127.0.0.1', '::1', '::/0', '0.0.0.0/0', ' fd00::/8 '])
    it(`takes ${text}`, () => {
      parseCidr(text)
    })
  for (const text of [
    '',
    'localhost',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '::/129',
    '10/8',
    '010.0.0.0/8',
    '0x7f.1/8',
    '10.0.0.0/255.0.0.0',
    'fe80::1%eth0/64',
  ])
    it(`refuses ${text || 'nothing'}`, () => {
      assert.throws(
        () => parseCidr(text),
        (error: Error) =>
          error instanceof RangeError && error.message.includes(`"${text}"`) && /Write one/.test(error.message),
      )
      assert.throws(() => new AddressPolicy([text]), RangeError)
    })
})
