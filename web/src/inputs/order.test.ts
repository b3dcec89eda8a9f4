import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { WireLiveInputItem } from '../../../src/api/schemas.ts'
import type { Current } from '../api/live.ts'
import { viewOf } from './input-state.ts'
import { found, held, sorted } from './order.ts'

function item(uid: string, name: string, created: string, enabled = true): WireLiveInputItem {
  return { uid, id: uid, created, modified: created, meta: { name }, deleteRecordingAfterDays: null, enabled }
}

function current(state: string, reason = state): Current {
  const at = '2026-01-02T03:04:05.678Z'
  return { ingestProtocol: 'rtmp', state, reason, statusEnteredAt: at, statusLastSeen: at }
}

const items = [
  item('1', 'Camera 10', '2026-01-01'),
  item('2', 'camera 2', '2026-01-02'),
  item('3', 'Stadium', '2026-01-03'),
  item('4', 'Away', '2026-01-04', false),
  item('5', 'Zoo', '2026-01-05'),
]
const states: Readonly<Record<string, Current>> = {
  1: current('connected', 'reconnected'),
  3: current('disconnected', 'reconnecting'),
  4: current('connected'),
  5: current('disconnected', 'client_disconnect'),
}
const currentOf = ({ uid }: WireLiveInputItem) => states[uid]

test('what needs somebody first, then what runs; by name, as people count', () => {
  assert.deepEqual(sorted(items, 'state', currentOf), ['3', '1', '5', '2', '4'])
  assert.deepEqual(sorted(items, 'name', currentOf), ['4', '2', '1', '3', '5'])
  assert.deepEqual(sorted(items, 'newest', currentOf), ['5', '4', '3', '2', '1'])
  assert.deepEqual(sorted(items, 'oldest', currentOf), ['1', '2', '3', '4', '5'])
})

test('a search finds every word in name or id', () => {
  const names = (search: string) => found(items, search).map(({ uid }) => uid)
  assert.deepEqual(names('  '), ['1', '2', '3', '4', '5'])
  assert.deepEqual(names('CAM 2'), ['2'])
  assert.deepEqual(names('5'), ['5'])
  assert.deepEqual(names('cam stadium'), [])
})

test('while somebody reads, nothing that is shown changes places', () => {
  assert.deepEqual(held(['a', 'b', 'c'], ['c', 'b', 'a']), ['a', 'b', 'c'])
  assert.deepEqual(held(['a', 'b', 'c'], ['c', 'a']), ['a', 'c'])
  assert.deepEqual(held(['a', 'b', 'c'], ['c', 'new', 'b', 'a']), ['a', 'b', 'c', 'new'])
  assert.deepEqual(held(['a', 'b'], ['new', 'b', 'a']), ['new', 'a', 'b'])
  const shown = ['a', 'b']
  assert.equal(held(shown, ['b', 'a']), shown, 'the same array when nothing has changed')
})

test('what is held has exactly what there is, and keeps the order of what was shown', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 0, max: 30 }).map(String))
  fc.assert(
    fc.property(ids, ids, (shown, right) => {
      const order = held(shown, right)
      assert.deepEqual(order.toSorted(), right.toSorted())
      const stayed = shown.filter((uid) => right.includes(uid))
      assert.deepEqual(
        order.filter((uid) => stayed.includes(uid)),
        stayed,
      )
    }),
  )
})

test('a live input at a glance', () => {
  const kinds = [
    viewOf(true, current('connected')),
    viewOf(true, current('disconnected', 'reconnecting')),
    viewOf(true, current('disconnected', 'client_disconnect')),
    viewOf(true, null),
    viewOf(false, current('connected')),
  ].map(({ kind, tone }) => `${kind} ${tone}`)
  assert.deepEqual(kinds, ['live good', 'held wait', 'offline idle', 'unused idle', 'disabled idle'])
})
