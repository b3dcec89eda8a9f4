import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiFixture, account, inputsPath, startApi } from '../../test/support/api-fixture.ts'
import type { LiveInputId } from '../model/id.ts'
import { figuresSubject } from '../model/status.ts'
import { listInfo } from './schemas.ts'

type Item = {
  readonly uid: string
  readonly meta: { readonly name?: string }
  readonly status?: unknown
  readonly summary?: object
}
type List = { readonly result: Item[]; readonly result_info?: { count: number; total_count: number; cursor?: string } }

async function list(server: ApiFixture, query: Record<string, string>): Promise<List> {
  const { status, body, text } = await server.call('GET', `${inputsPath}?${new URLSearchParams(query)}`)
  assert.equal(status, 200, text)
  const answer = body as unknown as List
  if (answer.result_info !== undefined) listInfo.parse(answer.result_info)
  return answer
}

const namesOf = ({ result }: List) => result.map(({ meta }) => meta.name ?? '')

async function withInputs(names: readonly string[]): Promise<ApiFixture> {
  const server = await startApi()
  for (const name of names) await server.result('POST', inputsPath, { meta: name === '' ? {} : { name } })
  return server
}

test('the list is searched by name and by uid, whatever the case', async () => {
  await using server = await withInputs(['Morning show', 'evening SHOW', 'news', ''])
  const found = await list(server, { search: 'show' })
  assert.deepEqual(namesOf(found), ['evening SHOW', 'Morning show'])
  assert.deepEqual(found.result_info, { count: 2, total_count: 2 })
  const news = (await list(server, { search: 'NEWS' })).result[0]
  assert.deepEqual(namesOf(await list(server, { search: news?.uid.slice(3, 20).toUpperCase() ?? '' })), ['news'])
  assert.deepEqual(namesOf(await list(server, { search: 'nothing of the kind' })), [])
  assert.deepEqual(namesOf(await list(server, { search: '.*' })), [])
})

test('the list is sorted by creation, by change and by name, both ways', async () => {
  await using server = await withInputs(['b', 'A', 'c'])
  const [first] = (await list(server, { sort: 'created' })).result
  await server.result('PUT', `${inputsPath}/${first?.uid}`, { enabled: false })
  const orders = {
    created: ['b', 'A', 'c'],
    '-created': ['c', 'A', 'b'],
    modified: ['A', 'c', 'b'],
    '-modified': ['b', 'c', 'A'],
    name: ['A', 'b', 'c'],
    '-name': ['c', 'b', 'A'],
  }
  for (const [sort, names] of Object.entries(orders))
    assert.deepEqual(namesOf(await list(server, { sort })), names, sort)
})

test('pages meet without a gap or an overlap, in every order, while live inputs come and go', async () => {
  const names = ['a', 'a', 'b', '', 'c', 'c', 'c']
  for (const sort of ['created', '-created', 'modified', '-modified', 'name', '-name']) {
    await using server = await withInputs(names)
    const whole = (await list(server, { sort })).result.map(({ uid }) => uid)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page: List = await list(server, { sort, limit: '2', ...(cursor !== undefined && { cursor }) })
      assert.ok(page.result.length <= 2)
      seen.push(...page.result.map(({ uid }) => uid))
      cursor = page.result_info?.cursor
      // What was the last of a page goes away: the next begins behind where it was.
      if (seen.length === 2) await server.call('DELETE', `${inputsPath}/${seen[1]}`)
    } while (cursor !== undefined)
    assert.deepEqual(seen, whole, sort)
  }
})

test('the last page has no cursor, and a full one that is the last has none either', async () => {
  await using server = await withInputs(['a', 'b'])
  assert.deepEqual((await list(server, { limit: '2' })).result_info, { count: 2, total_count: 2 })
  assert.equal((await list(server, { limit: '1' })).result_info?.total_count, 2)
})

test('counts go with all other parameters', async () => {
  await using server = await withInputs(['a', 'b', 'other'])
  const { result } = await list(server, { include_counts: 'true', limit: '1', sort: 'name' })
  const { liveInputs, ...counts } = result as unknown as { liveInputs: Item[] }
  assert.deepEqual(counts, { range: 1, total: 3 })
  assert.equal(liveInputs[0]?.meta.name, 'a')
})

test('status, health and a summary are included where they are asked for', async () => {
  await using server = await withInputs(['a'])
  const [bare] = (await list(server, { sort: 'name' })).result
  assert.ok(bare !== undefined && !('status' in bare) && !('health' in bare))
  const inputId = bare.uid as LiveInputId
  const input = { bitrateKbps: 2_500, bytesReceived: 1, warnings: [] }
  const at = '2026-01-02T03:04:05.678Z'
  server.bus.publish(figuresSubject(account, inputId), { accountId: account, inputId, at, input, outputs: {} })
  await new Promise(setImmediate)
  const [both] = (await list(server, { include: 'status,health' })).result
  assert.deepEqual(both, { ...bare, status: null, health: input })
  assert.deepEqual((await list(server, { include: 'health' })).result, [{ ...bare, health: input }])
  for (const enabled of [true, true, false])
    await server.call('POST', `${inputsPath}/${inputId}/outputs`, {
      url: 'rtmp://203.0.113.1/live',
      streamKey: 'k',
      enabled,
    })
  const [brief] = (await list(server, { include: 'summary' })).result
  assert.deepEqual(brief?.summary, { status: null, outputs: 3, outputsEnabled: 2 })
  assert.equal('status' in brief, false)
})

test('what no parameter can be is refused, each by its name', async () => {
  await using server = await withInputs([])
  const wrong: readonly (readonly [string, string])[] = [
    ...['', 'x'.repeat(201)].map((value) => ['search', value] as const),
    ...['', 'uid', '--name', 'Name'].map((value) => ['sort', value] as const),
    ...['', '0', '-1', '1001', '1.5', '1e3', 'x'].map((value) => ['limit', value] as const),
    ...['x', 'W10', 'bnVsbA', 'x'.repeat(2_000)].map((value) => ['cursor', value] as const),
    ...['', 'outputs', 'status,', 'status,,health'].map((value) => ['include', value] as const),
  ]
  for (const [name, value] of wrong) {
    const { status, body } = await server.call('GET', `${inputsPath}?${new URLSearchParams({ [name]: value })}`)
    assert.deepEqual([status, body.errors[0]?.source?.pointer], [400, `/${name}`], `${name}=${value.slice(0, 20)}`)
  }
  const twice = await server.call('GET', `${inputsPath}?sort=name&sort=created`)
  assert.equal(twice.status, 400)
})

test('a cursor belongs to the order that it was made in', async () => {
  await using server = await withInputs(['a', 'b'])
  const { result_info } = await list(server, { sort: 'name', limit: '1' })
  const query = new URLSearchParams({ sort: '-name', limit: '1', cursor: result_info?.cursor ?? '' })
  assert.equal((await server.call('GET', `${inputsPath}?${query}`)).status, 400)
})
