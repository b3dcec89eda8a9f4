import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Doorkeeper, networkOf, type Place, shareOf } from './doorkeeper.ts'

function setUp(max: number, perNetworkMax: number) {
  const door = new Doorkeeper({ max, perNetworkMax })
  const gone: string[] = []
  const enter = (address: string, name: string): Place => door.enter(address, () => gone.push(name))
  return { door, gone, enter }
}

test('one address has its share: its own oldest connection makes room, and nobody else’s', () => {
  const { door, gone, enter } = setUp(5, 3)
  enter('192.0.2.9', 'other')
  for (const name of ['a', 'b', 'c', 'd']) enter('192.0.2.1', name)
  assert.deepEqual(gone, ['a'])
  assert.equal(door.count, 4)
})

test('a full house: the oldest connection of the busiest address makes room', () => {
  const { door, gone, enter } = setUp(5, 3)
  enter('192.0.2.9', 'first of all')
  for (const name of ['a', 'b', 'c']) enter('192.0.2.1', name)
  enter('192.0.2.2', 'other')
  enter('192.0.2.3', 'new')
  assert.deepEqual([gone, door.count], [['a'], 5])
})

test('whoever was refused goes first; a place is given back once, and by eviction, too', () => {
  const { door, gone, enter } = setUp(5, 3)
  const [, b] = ['a', 'b', 'c'].map((name) => enter('192.0.2.1', name))
  b!.demote()
  enter('192.0.2.1', 'd')
  assert.deepEqual([gone, door.count], [['b'], 3])
  b!.leave()
  b!.demote()
  assert.equal(door.count, 3)
  const one = enter('192.0.2.2', 'e')
  one.leave()
  one.leave()
  assert.equal(door.count, 3)
})

test('an encoder behind an address that is flooded comes in, and stays for as long as 200 others need', () => {
  const { gone, enter } = setUp(1_000, 200)
  for (let index = 0; index < 1_000; index++) enter('192.0.2.1', `flood ${index}`)
  enter('192.0.2.1', 'encoder')
  for (let index = 0; index < 199; index++) enter('192.0.2.1', `flood ${index}`)
  assert.ok(!gone.includes('encoder'))
})

for (const [address, network] of [
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8:1:3::9', '2001:db8:1:3::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', ''],
] as const)
  test(`${address || 'no address'} belongs to ${network || 'nothing'}`, () => assert.equal(networkOf(address), network))

test('of several threads each has its part', () => {
  assert.deepEqual(shareOf({ max: 1_000, perNetworkMax: 200 }, 1), { max: 1_000, perNetworkMax: 200 })
  assert.deepEqual(shareOf({ max: 1_000, perNetworkMax: 200 }, 3), { max: 334, perNetworkMax: 67 })
})

test('whatever comes and goes, the counts are right and within their bounds', () => {
  const step = fc.tuple(fc.nat(4), fc.constantFrom('enter', 'leave', 'demote'), fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const door = new Doorkeeper({ max: 7, perNetworkMax: 3 })
      const inside = new Map<Place, string>()
      for (const [who, what, which] of steps) {
        const places = [...inside.keys()]
        const chosen = places[which % Math.max(1, places.length)]
        if (what === 'enter') {
          const address = `192.0.2.${who}`
          const place: Place = door.enter(address, () => inside.delete(place))
          inside.set(place, address)
        } else if (chosen !== undefined && what === 'leave') {
          inside.delete(chosen)
          chosen.leave()
        } else chosen?.demote()
        assert.equal(door.count, inside.size)
        assert.ok(inside.size <= 7)
        for (const address of inside.values())
          assert.ok([...inside.values()].filter((other) => other === address).length <= 3)
      }
    }),
  )
})
