import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CodedError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { type LogRecord, ToldLog } from './told-log.ts'

function told(level: string, write: (log: ToldLog) => void): LogRecord[] {
  const records: LogRecord[] = []
  write(new ToldLog((record) => records.push(structuredClone(record)), level))
  return records
}

test('what is told has the fields of all its logs, plain and without secrets', () => {
  const [record] = told('info', (log) =>
    log
      .child({ inputId: 'a' })
      .child({ outputId: 'b' })
      .warn({ err: new CodedError('bus_closed', 'closed'), key: new Secret('hidden') }, 'it said \u001b[31m'),
  )
  assert.deepEqual(
    { ...record, fields: { ...record!.fields } },
    {
      level: 'warn',
      fields: {
        inputId: 'a',
        outputId: 'b',
        err: { type: 'CodedError', code: 'bus_closed', message: 'closed' },
        key: '[redacted]',
      },
      sentence: 'it said <U+001B>[31m',
    },
  )
})

test('what is below the level is not told', () => {
  const all = (log: ToldLog) => {
    const child = log.child({})
    child.trace({}, 'trace')
    child.debug({}, 'debug')
    child.info({}, 'info')
    child.warn({}, 'warn')
    child.error({}, 'error')
  }
  assert.deepEqual(
    told('warn', all).map(({ level }) => level),
    ['warn', 'error'],
  )
  assert.equal(told('trace', all).length, 5)
  assert.equal(told('silent', all).length, 0)
})
