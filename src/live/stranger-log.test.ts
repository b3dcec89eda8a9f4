import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../log.ts'
import { StrangerLog } from './stranger-log.ts'

test('a flood of connections is not a flood of log lines; what was left out is told', () => {
  const lines: { leftOut?: number; code?: string; msg?: string }[] = []
  const log = createLog(
    { logLevel: 'info', logFormat: 'json' },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  )
  const time = { ms: 0 }
  const strangers = new StrangerLog(() => time.ms)
  const flood = () => {
    for (let index = 0; index < 10_000; index++) strangers.write(log, 'info', { code: 'handshake_timeout' }, 'came')
  }
  flood()
  assert.equal(lines.length, 100)
  assert.ok(lines.every(({ leftOut, code }) => leftOut === undefined && code === 'handshake_timeout'))
  time.ms += 1_000
  flood()
  assert.deepEqual(
    lines.slice(100).map(({ leftOut }) => leftOut),
    [9_900, undefined],
  )
})
