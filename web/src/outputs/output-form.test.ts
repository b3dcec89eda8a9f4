import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireOutput } from '../../../src/api/schemas.ts'
import { changeOf, emptyFields, fieldsOf, hasOptions, testOf, wishOf } from './output-form.ts'

const output: WireOutput = {
  uid: '0'.repeat(32),
  url: 'rtmps://live.example/app',
  streamKey: 'key',
  enabled: true,
  name: 'Main',
  username: 'anna',
  tls: { verify: false, fingerprint: 'ab' },
  resumeSeconds: 3,
  status: null,
}

test('a new output says nothing of what was left empty', () => {
  const fields = { ...emptyFields, url: ' rtmp://a.example/live ', streamKey: ' k\n' }
  assert.deepEqual(wishOf(fields), { url: 'rtmp://a.example/live', streamKey: 'k' })
  const all = {
    ...fields,
    name: 'N',
    username: 'u',
    password: ' p ',
    verify: false,
    fingerprint: 'ab',
    resumeSeconds: '4',
  }
  const tls = { verify: false, fingerprint: 'ab' }
  const login = { username: 'u', password: ' p ' }
  assert.deepEqual(wishOf(all), { ...wishOf(fields), ...login, name: 'N', tls, resumeSeconds: 4 })
  assert.deepEqual(testOf(all), { ...wishOf(fields), ...login, tls })
  assert.deepEqual([hasOptions(fields), hasOptions(all)], [false, true])
})

test('an edit sends what has changed, and null for what was emptied', () => {
  const before = fieldsOf(output)
  assert.deepEqual(changeOf(before, before), {})
  assert.deepEqual(changeOf(before, { ...before, name: '', resumeSeconds: '' }), { name: null, resumeSeconds: null })
  assert.deepEqual(changeOf(before, { ...before, verify: true, fingerprint: '' }), {
    tls: { verify: null, fingerprint: null },
  })
  assert.deepEqual(changeOf(before, { ...before, username: '' }), { username: null, password: null })
  assert.deepEqual(changeOf(before, { ...before, password: 'new', streamKey: 'k2' }), {
    password: 'new',
    streamKey: 'k2',
  })
})
