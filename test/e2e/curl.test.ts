import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { ApiDescription } from '../../src/api/openapi.ts'
import { DescribedAnswers } from '../support/described-answers.ts'
import { freePorts } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'
import { startServer } from '../support/server.ts'

/**
 * The curl lines of Cloudflare's documentation (the first page of Stream Connect, and today's), as they stand there: typed into a shell,
 * over HTTPS, against a server of its own. Host, account, token and the ids of what was made are variables of that shell, and nothing else
 * is added: no option, and no Content-Type where there is none.
 */
const base = 'https://$HOST/client/v4/accounts/$ACCOUNT/stream/live_inputs'
const bearer = '-H "Authorization: Bearer $TOKEN"'

type Answered = {
  readonly success: boolean
  readonly errors: readonly object[]
  readonly messages: readonly object[]
  readonly result: Record<string, unknown>
}

test('every curl line of the documentation works as it stands', { timeout: 60_000, ...needs('curl') }, async () => {
  const [httpsPort] = (await freePorts(1)) as [number]
  await using server = await startServer({ settings: { HTTPS_PORT: `${httpsPort}` } })
  const description = (await (await fetch(`${server.origin}/openapi.json`)).json()) as ApiDescription
  const described = new DescribedAnswers(description)
  const shell: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    // The server's own certificate is the only one that is believed.
    CURL_CA_BUNDLE: join(server.dataDir, 'tls-cert.pem'),
    HOST: `127.0.0.1:${httpsPort}`,
    ACCOUNT: server.accountId,
    TOKEN: server.token,
  }
  const typed = async (line: string): Promise<string> => {
    const { stdout } = await promisify(execFile)('sh', ['-c', line], { env: shell, timeout: 20_000 })
    return stdout
  }
  /** Types a line, and holds what it prints against /openapi.json. @returns what came in the envelope. */
  const type = async (line: string): Promise<Answered> => {
    const body = await typed(line)
    const method = /^curl -X (\w+)/.exec(line)?.[1] ?? 'GET'
    const url = (await typed(`echo ${line.split(' ').find((word) => word.startsWith('https://'))}`)).trim()
    described.check(method, new URL(url).pathname, 200, body)
    return JSON.parse(body) as Answered
  }
  const must = async (line: string) => {
    const answer = await type(line)
    assert.deepEqual([answer.success, answer.errors], [true, []], line)
    return answer.result
  }
  const has = (shape: object, ...names: string[]) => {
    for (const name of names) assert.ok(name in shape, name)
  }

  // The first page.
  const created = await type(`curl -X POST ${bearer} ${base} --data '{"meta": {"name":"test stream 1"}}'`)
  assert.deepEqual([created.success, created.errors, created.messages], [true, [], []])
  const input = created.result
  has(input, 'uid', 'meta', 'created', 'modified', 'rtmps')
  assert.deepEqual(input['meta'], { name: 'test stream 1' })
  assert.match((input['rtmps'] as { url: string }).url, /^rtmps:\/\/[^/]+:\d+\/live\/$/)
  shell['INPUT_UID'] = String(input['uid'])
  const output = await must(
    `curl -X POST --data '{"url": "rtmp://a.rtmp.youtube.com/live2","streamKey": "<redacted>"}' ${bearer} ${base}/$INPUT_UID/outputs`,
  )
  has(output, 'uid', 'url', 'streamKey')
  shell['OUTPUT_UID'] = String(output['uid'])
  const read = await must(`curl ${bearer} ${base}/$INPUT_UID`)
  assert.deepEqual(read, { ...input, modified: read['modified'] })
  const [listed, ...others] = (await must(`curl ${bearer} ${base}`)) as unknown as Record<string, unknown>[]
  assert.equal(others.length, 0)
  has(listed!, 'id', 'uid', 'created', 'modified', 'meta')
  assert.deepEqual(await must(`curl ${bearer} ${base}/$INPUT_UID/outputs`), [output])

  // Today's.
  const off = await must(`curl -X PUT ${bearer} ${base}/$INPUT_UID --data '{"enabled": false}'`)
  assert.equal(off['enabled'], false)
  const outputOff = await must(
    `curl -X PUT ${bearer} ${base}/$INPUT_UID/outputs/$OUTPUT_UID --data '{"enabled": false}'`,
  )
  assert.equal(outputOff['enabled'], false)
  assert.equal((await must(`curl -X POST ${bearer} ${base}/$INPUT_UID/enable`))['enabled'], true)
  assert.equal((await must(`curl -X POST ${bearer} ${base}/$INPUT_UID/disable`))['enabled'], false)
  const rotated = await must(`curl -X POST ${bearer} ${base}/$INPUT_UID/rotate_keys`)
  has(rotated, 'keysRotatedAt')
  assert.notDeepEqual(rotated['rtmps'], input['rtmps'])
  const recording = '{ "mode": "automatic", "timeoutSeconds": 10, "requireSignedURLs": false }'
  const recorded = await must(
    `curl -X POST ${bearer} ${base} --data '{"meta": {"name":"test stream"},"recording": ${recording}}'`,
  )
  const { mode, timeoutSeconds } = recorded['recording'] as Record<string, unknown>
  assert.deepEqual([mode, timeoutSeconds], ['automatic', 10])

  // The first page again: both deletions.
  assert.deepEqual(await type(`curl -X DELETE ${bearer} ${base}/$INPUT_UID/outputs/$OUTPUT_UID`), {})
  assert.deepEqual(await must(`curl ${bearer} ${base}/$INPUT_UID/outputs`), [])
  assert.deepEqual(await type(`curl -X DELETE ${bearer} ${base}/$INPUT_UID`), {})
  const left = (await must(`curl ${bearer} ${base}`)) as unknown as { uid: string }[]
  assert.deepEqual(
    left.map(({ uid }) => uid),
    [recorded['uid']],
  )
})
