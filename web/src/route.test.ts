import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashOf, type Route, readRoute } from './route.ts'

const account = 'a'.repeat(32)
const input = 'b'.repeat(32)

test('every page has an address, and is found by it', () => {
  const routes: readonly Route[] = [
    { name: 'start' },
    { name: 'sign-in', once: undefined },
    { name: 'inputs', account },
    { name: 'input', account, input },
    { name: 'settings', account },
  ]
  for (const route of routes) assert.deepEqual(readRoute(hashOf(route)), route)
})

test('a one-time link is read; an account alone leads to its inputs', () => {
  assert.deepEqual(readRoute('#/sign-in?once=abc%2Bd'), { name: 'sign-in', once: 'abc+d' })
  assert.deepEqual(readRoute(`#/${account}`), { name: 'inputs', account })
})

test('what is no address leads nowhere', () => {
  for (const hash of ['#/x', `#/${account}/other`, `#/${account}/inputs/1`, `#/${account}/inputs/${input}/more`])
    assert.deepEqual(readRoute(hash), { name: 'unknown' }, hash)
  for (const hash of ['', '#', '#/']) assert.deepEqual(readRoute(hash), { name: 'start' })
})
