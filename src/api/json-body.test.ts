import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Refusal } from './envelope.ts'
import { nestingMax, parseJsonBody } from './json-body.ts'

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

function hasProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(hasProto)
}

test('reads what JSON.parse reads, but for the names and depths that are refused', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: nestingMax + 2 }), fc.boolean(), (text, isIndented) => {
      const value: unknown = JSON.parse(text)
      const sent = Buffer.from(isIndented ? JSON.stringify(value, null, 2) : text)
      if (depthOf(value) > nestingMax || hasProto(value)) assert.throws(() => parseJsonBody(sent), Refusal)
      else assert.deepEqual(parseJsonBody(sent), value)
    }),
  )
})

test('a name that stands twice in one object is found, wherever it is and however it is written', () => {
  const name = fc.string({ unit: 'grapheme' }).filter((text) => text !== '__proto__')
  fc.assert(
    fc.property(name, fc.array(fc.constantFrom('{"x":', '[0,')), fc.boolean(), (repeated, around, isEscaped) => {
      fc.pre(around.length < nestingMax - 1)
      const first = JSON.stringify(repeated)
      const units = [...Array(repeated.length).keys()].map((index) => repeated.charCodeAt(index))
      const escaped = `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"`
      const closing = around.map((opening) => (opening.startsWith('{') ? '}' : ']')).reverse()
      const text = `${around.join('')}{${first}: [{}], ${isEscaped ? escaped : first} :1}${closing.join('')}`
      assert.throws(() => parseJsonBody(Buffer.from(text)), /twice/)
    }),
  )
})

test('bytes that are no UTF-8 and texts that are no JSON are refused, without quoting them', () => {
  const secret = 'live_123_secret'
  for (const bytes of [
    Buffer.from([0x7b, 0xff, 0x7d]),
    Buffer.from(`{"streamKey": ${secret}}`),
    Buffer.from(`${secret}`),
    Buffer.from('{"a":1,}'),
    Buffer.from("{'a':1}"),
    Buffer.from('{"a":1} {"b":2}'),
    Buffer.from(' '),
  ])
    assert.throws(
      () => parseJsonBody(bytes),
      (error) => error instanceof Refusal && error.status === 400 && !JSON.stringify(error.errors).includes('secret'),
    )
})

test('a byte order mark is no part of the JSON', () => {
  assert.deepEqual(parseJsonBody(Buffer.from('\ufeff{"a":1}')), { a: 1 })
})
