import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Doorkeeper } from './doorkeeper.ts'

test('one address has its share and leaves room for others; places are given back once', () => {
  const door = new Doorkeeper({ max: 5, perAddressMax: 3 })
  const leave = [door.enter('a'), door.enter('a'), door.enter('a')]
  assert.ok(leave.every((one) => one !== undefined))
  assert.equal(door.enter('a'), undefined)
  assert.ok(door.enter('b') && door.enter('b'))
  assert.equal(door.enter('c'), undefined, 'all together')
  leave[0]!()
  leave[0]!()
  assert.ok(door.enter('c'))
  assert.equal(door.enter('a'), undefined, 'given back once')
})
