import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { successOf, testAnswer, type WireOutput } from '../../src/api/schemas.ts'
import type { Plain } from '../../src/bus/bus.ts'
import { InProcessBus } from '../../src/bus/in-process-bus.ts'
import { lintDestination } from '../../src/destination/lint.ts'
import { type Platform, platforms } from '../../src/destination/platforms.ts'
import { type PreflightReport, preflightSubject, retryOutputSubject } from '../../src/model/preflight.ts'
import { inputsPath, startApi } from '../support/api-fixture.ts'
import { readRepositoryFile } from './repository.ts'

/** docs/destinations.md against what the server knows of the platforms, and against the API. */

const page = readRepositoryFile('docs/destinations.md')
const chapter = page.split(/^## Platforms$/m)[1]!.split(/^## /m)[0]!
const sections = new Map(
  chapter
    .split(/^### /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section]),
)
const key = { kick: 'sk_us-west-2_AbCd', bilibili: '?streamname=live_1&key=2' } as Partial<Record<string, string>>

test('the platforms of the page are those of platforms.ts, in their order', () => {
  assert.deepEqual(
    [...sections.keys()],
    platforms.map(({ name }) => name),
  )
})

describe('each platform', () => {
  for (const platform of platforms)
    test(`${platform.name}: its urls are shown, and lint has nothing against them`, () => {
      const section = sections.get(platform.name)!
      assert.ok(section.includes(`\`${platform.example}\``), platform.example)
      assert.match(section, /^- url: /m)
      assert.match(section, /^- key: /m)
      assert.equal(/RTMPS only/.test(section), platform.rtmpsOnly === true)
      for (const url of urlsIn(section)) assert.deepEqual(findingsOn(url, platform), [], url)
    })
})

function urlsIn(text: string): string[] {
  return [...text.matchAll(/`(rtmps?:\/\/[^`]+)`/g)].map(([, url]) => url!)
}

function findingsOn(url: string, { id }: Platform): unknown[] {
  const real = url.replace('<id>', '0123456789ab').replace('<region>', 'de').replace('…', 'f5')
  return lintDestination(real, key[id] ?? 'some-key').filter(({ field }) => field === 'url')
}

test('every link of the page has its address, and every address is used', () => {
  const used = new Set([...page.matchAll(/\]\[([a-z0-9-]+)\]/g)].map(([, name]) => name))
  const defined = new Set([...page.matchAll(/^\[([a-z0-9-]+)\]: https:\/\/\S+$/gm)].map(([, name]) => name))
  assert.deepEqual([...used].toSorted(), [...defined].toSorted())
})

test('every curl line of the page is carried out, without a word of complaint', async () => {
  const report: PreflightReport = { ok: true, steps: [{ name: 'resolve', ok: true, durationMs: 1 }] }
  const bus = new InProcessBus({ onError: (error) => assert.fail(String(error)) })
  bus.respond(preflightSubject, () => report as unknown as Plain)
  bus.respond(retryOutputSubject, () => ({ retried: true }))
  await using server = await startApi({ bus })
  const input = await server.result('POST', inputsPath)
  const output = await server.result<WireOutput>('POST', `${inputsPath}/${input.uid}/outputs`, {
    url: 'rtmps://media.example/live',
    streamKey: 'stage-1',
  })
  const filledIn = page
    .replaceAll('$API', inputsPath)
    .replaceAll('$UID_OF_INPUT', input.uid)
    .replaceAll("'$UID_OF_OUTPUT'", output.uid)
    .replaceAll('$UID_OF_OUTPUT', output.uid)
  const lines = [...filledIn.matchAll(/^curl -X (\w+) -H "[^"]*" (\S+)(?: \\\n)?(?: +--data '([^']*)')?$/gm)]
  assert.equal(lines.length, [...page.matchAll(/^curl /gm)].length, 'every line was understood')
  for (const [line, method, path, body] of lines) {
    const answer = await server.call(method as 'POST' | 'PUT', path!, body)
    assert.equal(answer.status, 200, `${line}: ${answer.text}`)
    assert.deepEqual(answer.body.messages, [], line)
    if (path!.endsWith('/test')) assert.ok(successOf(testAnswer).safeParse(answer.body).success)
  }
  await bus.close()
})
