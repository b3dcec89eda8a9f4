import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { z } from 'zod'
import { inputsPath, startApi } from '../../test/support/api-fixture.ts'
import { DescribedAnswers } from '../../test/support/described-answers.ts'
import { apiErrorCodes } from './envelope.ts'
import type { ApiDescription } from './openapi.ts'
import { operations } from './operations.ts'

async function read(): Promise<ApiDescription> {
  await using server = await startApi()
  const answer = await server.api.inject({ method: 'GET', url: '/openapi.json' })
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  return answer.json()
}

const operationsOf = (description: ApiDescription) =>
  Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ key: `${method.toUpperCase()} ${path}`, path, operation })),
  )

test('every route is described, in words too, and nothing else is', async () => {
  const described = operationsOf(await read())
  assert.deepEqual(described.map(({ key }) => key).sort(), Object.keys(operations).sort())
  const ids = described.map(({ operation }) => operation.operationId)
  assert.equal(new Set(ids).size, ids.length)
  await using server = await startApi()
  const paths = new Set(described.map(({ path }) => path))
  for (const { path } of server.api.routes.filter(({ path: one }) => one.startsWith('/client/v4/')))
    assert.ok(paths.has(path.replaceAll(/:(\w+)/g, '{$1}')), path)
})

test('every id in a path is a parameter, and every reference leads somewhere', async () => {
  const description = await read()
  assert.equal(description.openapi, '3.1.0')
  for (const { key, path, operation } of operationsOf(description)) {
    const inPath = (operation.parameters ?? []).filter((one) => one.in === 'path').map(({ name }) => name)
    assert.deepEqual(inPath.sort(), [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort(), key)
  }
  const references = [...JSON.stringify(description).matchAll(/"\$ref":"([^"]+)"/g)].map(
    ([, reference = '']) => reference,
  )
  assert.ok(references.length > 100)
  for (const reference of new Set(references)) {
    const [, name] = /^#\/components\/responses\/(\w+)$/.exec(reference) ?? []
    assert.ok(description.components.responses[name ?? ''], reference)
  }
})

test('every code of an error is described', async () => {
  const described = Object.values((await read()).components.responses)
    .map((answer) => answer.description)
    .join('\n')
  for (const [code, sentence] of Object.entries(apiErrorCodes))
    assert.ok(described.includes(`${code}: ${sentence}`), code)
})

test('the examples are what the schemas say', async () => {
  let count = 0
  const description = await read()
  const answers = [
    ...operationsOf(description).flatMap(({ operation }) => [
      operation.requestBody,
      ...Object.values(operation.responses).map((answer) => ('$ref' in answer ? undefined : answer)),
    ]),
    ...Object.values(description.components.responses),
  ]
  for (const { schema, example } of answers.flatMap((one) => Object.values(one?.content ?? {}))) {
    if (schema === undefined || example === undefined) continue
    z.fromJSONSchema(schema as never).parse(example)
    count++
  }
  assert.ok(count > 30)
})

test('an answer that is not described so is found out', async () => {
  const answers = new DescribedAnswers(await read())
  const list = (item: object) => JSON.stringify({ result: [item], success: true, errors: [], messages: [] })
  await using server = await startApi()
  await server.result('POST', inputsPath)
  const [item] = await server.result<object[]>('GET', inputsPath)
  answers.check('GET', inputsPath, 200, list(item!))
  assert.throws(() => answers.check('GET', inputsPath, 200, list({ ...item, more: 1 })))
  assert.throws(() => answers.check('GET', inputsPath, 200, list({ ...item, uid: 'x' })))
  assert.throws(() => answers.check('GET', inputsPath, 200, list({ ...item, created: 7 })))
  assert.throws(() => answers.check('GET', inputsPath, 418, '{}'))
})

test('the page for people runs nothing, takes nothing from elsewhere, and has every operation', async () => {
  await using server = await startApi()
  const { body, headers } = await server.api.inject({ method: 'GET', url: '/docs' })
  assert.match(String(headers['content-type']), /^text\/html/)
  const policy = String(headers['content-security-policy'])
  assert.match(policy, /default-src 'none'/)
  const [, style = ''] = /<style>(.*?)<\/style>/s.exec(body) ?? []
  assert.ok(policy.includes(createHash('sha256').update(style).digest('base64')))
  assert.ok(!/<script|\son\w+=|style="|src=|https?:\/\/[^<]*"/i.test(body.replaceAll(/<pre>.*?<\/pre>/gs, '')))
  for (const { id, summary } of Object.values(operations)) {
    assert.ok(body.includes(`id="${id}"`), id)
    assert.ok(body.includes(summary.replaceAll("'", '&#39;')), summary)
  }
  const links = [...body.matchAll(/href="#([^"]+)"/g)].map(([, to]) => to)
  for (const link of links) assert.ok(body.includes(`id="${link}"`), link)
})
