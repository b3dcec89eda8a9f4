import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { temporaryFolder, waitFor } from './processes.ts'
import { startServer, tokenOfTests } from './server.ts'

/** Stands for src/main.ts: answers what the harness asks, and tells its settings in a log line. */
const stub = `
import { createServer } from 'node:http'
import { writeFileSync } from 'node:fs'
const setting = (name) => process.env['STREAM_CONNECT_' + name]
if (setting('LOG_LEVEL') === 'broken') { console.error('LOG_LEVEL: broken is no level'); process.exit(2) }
console.log(JSON.stringify({ msg: 'settings', dataDir: setting('DATA_DIR'), allow: setting('DESTINATION_ALLOW'), extra: process.env.NODE_EXTRA_CA_CERTS }))
let body = ''
createServer((request, response) => {
  if (request.url === '/readyz') return response.end('ready')
  request.on('data', (text) => (body += text)).on('end', () => {
    const result = { uid: 'u', method: request.method, path: request.url, token: request.headers.authorization, body }
    response.statusCode = request.url.endsWith('/missing') ? 404 : 200
    response.end(JSON.stringify({ success: true, result, errors: [], messages: [] }))
  })
}).listen(Number(setting('HTTP_PORT')), setting('HTTP_HOST'))
process.on('SIGTERM', () => { console.log('goodbye'); process.exit(0) })
`

test('server: starts, answers, restarts on its ports and data, ends', { timeout: 30_000 }, async () => {
  await using folder = await temporaryFolder('stub')
  const main = join(folder.path, 'main.mjs')
  await writeFile(main, stub)
  await using server = await startServer({
    main,
    settings: { RECONNECT_WINDOW: '2' },
    env: { NODE_EXTRA_CA_CERTS: '' },
  })
  const settings = await server.waitForLog('settings', (line) => line['msg'] === 'settings')
  assert.equal(settings['dataDir'], server.dataDir)
  assert.equal(settings['allow'], '127.0.0.0/8,::1/128')
  const created = await server.createInput({ meta: { name: 'a' } })
  assert.equal(created['path'], `/client/v4/accounts/${server.accountId}/stream/live_inputs`)
  assert.equal(created['token'], `Bearer ${tokenOfTests}`)
  assert.equal(created['body'], '{"meta":{"name":"a"}}')
  assert.equal((await server.api('GET', '/missing')).status, 404)
  await assert.rejects(
    server.addOutput('x/missing?', { url: 'rtmp://h/a', streamKey: 'k' }).then(() => server.input('missing')),
    /404/,
  )
  assert.ok((await server.program.residentBytes()) > 1_000_000)
  assert.ok((await server.program.cpuMs()) > 0)

  const { pid } = server.program
  await server.restart('SIGKILL')
  assert.notEqual(server.program.pid, pid)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  await waitFor('the last words', () => server.log.some((line) => line['msg'] === 'goodbye'))
  await assert.rejects(server.api('GET'), /fetch failed/)
})

test('server: a start that fails is told with what the server wrote', { timeout: 30_000 }, async () => {
  await using folder = await temporaryFolder('stub')
  const main = join(folder.path, 'main.mjs')
  await writeFile(main, stub)
  await assert.rejects(startServer({ main, settings: { LOG_LEVEL: 'broken' } }), /ended with 2[\s\S]*no level/)
})
