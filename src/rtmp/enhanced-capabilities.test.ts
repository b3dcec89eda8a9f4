import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AmfValue } from './amf0.ts'
import { readCapabilities } from './enhanced-capabilities.ts'

const entriesMax = 64
const map = (entries: readonly (readonly [string, AmfValue])[]) => new Map<string, AmfValue>(entries)

test('no more entries are kept than there could be codecs', () => {
  const many = Array.from({ length: 4_000 }, (_, index) => [`c${index}`, 4] as const)
  const said = readCapabilities([
    map([
      ['fourCcList', many.map(([name]) => name)],
      ['videoFourCcInfoMap', map(many)],
      ['audioFourCcInfoMap', map(many.slice(0, entriesMax - 1))],
    ]),
  ])
  assert.equal(said?.fourCcList?.length, entriesMax)
  assert.equal(said?.videoFourCcInfoMap?.size, entriesMax)
  assert.equal(said?.audioFourCcInfoMap?.size, entriesMax - 1)
})

test('what has another type than it should is as if it were not there', () => {
  assert.equal(readCapabilities([undefined, null, 7, 'hvc1', [], map([])]), undefined)
  assert.equal(readCapabilities([map([['fourCcList', 'hvc1']])]), undefined)
  const said = readCapabilities([
    map([
      ['fourCcList', ['hvc1', 7, null, map([])]],
      ['videoFourCcInfoMap', map([['hvc1', 'x'] as const, ['av01', 1e300] as const, ['__proto__', 7] as const])],
      ['capsEx', Number.NaN],
    ]),
  ])
  assert.deepEqual(said?.fourCcList, ['hvc1'])
  assert.deepEqual(
    [...(said?.videoFourCcInfoMap ?? [])],
    [
      ['av01', 0],
      ['__proto__', 7],
    ],
  )
  assert.equal(said?.capsEx, 0)
})
