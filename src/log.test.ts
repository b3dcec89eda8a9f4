import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { CodedError } from './errors.ts'
import { createLog, type Log } from './log.ts'
import { Secret } from './secret.ts'

function recorded(logFormat: 'json' | 'pretty', write: (log: Log) => void, logLevel = 'trace' as const): string[] {
  const lines: string[] = []
  write(createLog({ logFormat, logLevel }, { write: (line) => lines.push(line) }))
  return lines
}

function recordedJson(write: (log: Log) => void): Record<string, unknown> {
  const [line, ...more] = recorded('json', write)
  assert.equal(more.length, 0)
  return JSON.parse(line ?? '') as Record<string, unknown>
}

test('a line of JSON has time, level, fields and sentence, and nothing of the machine', () => {
  const { time, ...rest } = recordedJson((log) => log.child({ input: 'a' }).warn({ outputs: 2 }, 'publisher vanished'))
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual(rest, { level: 'warn', input: 'a', outputs: 2, msg: 'publisher vanished' })
})

test('a pretty line has them for people', () => {
  const [line] = recorded('pretty', (log) => log.info({ host: 'a.example' }, 'connected'))
  assert.match(line ?? '', /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: connected \{"host":"a\.example"\}\n$/)
})

test('what is below the level is not written', () => {
  const lines: string[] = []
  const log = createLog({ logLevel: 'warn', logFormat: 'json' }, { write: (line) => lines.push(line) })
  log.info({}, 'no')
  log.debug({}, 'no')
  log.trace({}, 'no')
  log.warn({}, 'yes')
  log.error({}, 'yes')
  assert.equal(lines.length, 2)
})

for (const format of ['json', 'pretty'] as const) {
  test(`${format}: a secret prints nowhere: in a field, nested, in a list, a map, an error or a child`, () => {
    const secret = new Secret('open-sesame')
    const error = Object.assign(new Error(`refused ${secret}`, { cause: { key: secret } }), {
      key: secret,
      options: { secret },
    })
    const lines = recorded(format, (log) => {
      const child = log.child({ secret, deep: { list: [secret] } })
      child.info({ secret, nested: { secret, map: new Map([['key', secret]]) } }, 'one')
      child.error({ error, err: error, many: new AggregateError([error], 'many') }, `two ${secret}`)
    })
    assert.equal(lines.length, 2)
    for (const line of lines) {
      assert.doesNotMatch(line, /sesame/)
      assert.match(line, /\[redacted\]/)
    }
  })

  test(`${format}: what a peer sends can neither forge a line nor steer a terminal`, () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const lines = recorded(format, (log) => {
          log.warn({ app: text, [text]: { deep: [text] }, error: new Error(text) }, 'refused')
        })
        assert.equal(lines.length, 1)
        // For people, an error goes on in lines of its own, indented.
        const [first, ...more] = (lines[0] ?? '').slice(0, -1).split('\n')
        if (format === 'json') assert.equal(more.length, 0)
        for (const further of more) assert.match(further, /^ {4}/)
        for (const each of [first, ...more]) assert.doesNotMatch(each ?? '', /[\p{Cc}\p{Zl}\p{Zp}]/u)
      }),
    )
    const [line] = recorded(format, (log) => log.warn({ app: '\u001b[2J\u009b31m\r\nFAKE' }, 'refused'))
    assert.match(line ?? '', /<U\+001B>\[2J<U\+009B>31m<U\+000D><U\+000A>FAKE/)
  })
}

test('an error is written with code, message and causes in whatever field; only an unexpected one has a stack', () => {
  const system = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', request: { headers: 'x' } })
  const coded = new CodedError('connection_refused', undefined, { cause: system })
  const { reason } = recordedJson((log) => log.warn({ reason: coded }, 'output failed')) as {
    reason: { cause: Record<string, unknown> }
  }
  const { cause, ...rest } = reason
  assert.deepEqual(rest, { type: 'CodedError', code: 'connection_refused', message: coded.message })
  const { stack, ...known } = cause
  assert.deepEqual(known, { type: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' })
  assert.match(String(stack), /log\.test\.ts/)
})

test('what is long, wide, deep or turns in a circle is cut', () => {
  const circle: Record<string, unknown> = {}
  circle['again'] = circle
  const fields = { long: 'x'.repeat(1e6), wide: Array(1e5).fill('y'), circle, bytes: Buffer.alloc(1e6), big: 2n ** 80n }
  const lines = recorded('json', (log) => log.info(fields, 'cut'))
  assert(lines.join('').length < 10_000)
})

test('lines reach standard output before the process ends, as JSON where that is no terminal', () => {
  const program = `import { createLog } from ${JSON.stringify(new URL('./log.ts', import.meta.url))}
    createLog({ logLevel: 'info', logFormat: undefined }).info({ a: 1 }, 'last words')
    process.exit(3)`
  try {
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', stdio: 'pipe' })
    assert.fail('status 3 was expected')
  } catch (error) {
    const { status, stdout } = error as { status: number; stdout: string }
    assert.equal(status, 3)
    assert.equal((JSON.parse(stdout) as { msg: string }).msg, 'last words')
  }
})
