import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { z } from 'zod'
import { account, inputsPath, startApi } from '../../test/support/api-fixture.ts'
import { DescribedAnswers } from '../../test/support/described-answers.ts'
import { apiErrorCodes } from './envelope.ts'
import type { Answer, ApiDescription, Content, JsonSchema } from './openapi.ts'
import { operations } from './operations.ts'
import { metaBytesMax } from './schemas.ts'

async function read(): Promise<ApiDescription> {
  await using server = await startApi()
  const answer = await server.api.inject({ method: 'GET', url: '/openapi.json' })
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  return answer.json()
}

const operationsOf = (description: ApiDescription) =>
  Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${path}`,
      path,
      method,
      operation,
    })),
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

test('every operation shows an answer, what a body is, and every error that it can give, each by an example', async () => {
  const description = await read()
  for (const { key, path, method, operation } of operationsOf(description)) {
    const done = operation.responses['200'] as Answer
    // A picture cannot be shown here.
    for (const [type, { example }] of Object.entries(done.content ?? {}))
      assert.ok(example !== undefined || type.startsWith('video/'), key)
    for (const { schema, example } of Object.values(operation.requestBody?.content ?? {}))
      assert.ok(schema !== undefined && example !== undefined, key)
    const isApi = path.startsWith('/client/v4')
    const expected = [
      ...['200', '431', '500'],
      ...(isApi ? ['400', '401', '403', '404', '429', '503'] : []),
      ...(isApi && method !== 'get' ? ['408', '413'] : []),
      ...(operation.requestBody && !path.endsWith('/test') ? ['409', '507'] : []),
      ...(method === 'put' || method === 'delete' ? ['409', '507'] : []),
    ]
    for (const status of expected) assert.ok(operation.responses[status], `${key}: ${status}`)
  }
  for (const [name, answer] of Object.entries(description.components.responses)) {
    const { examples } = answer.content!['application/json']!
    for (const [, code = ''] of answer.description.matchAll(/^(\d+): /gm))
      assert.ok(examples?.[code], `${name}: ${code}`)
  }
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
  for (const { schema, example, examples = {} } of answers.flatMap((one) =>
    Object.values<Content>(one?.content ?? {}),
  )) {
    for (const value of [example, ...Object.values(examples).map((each) => each.value)]) {
      if (schema === undefined || value === undefined) continue
      const read = z.fromJSONSchema(schema as never).safeParse(value)
      assert.ok(read.success, `${JSON.stringify(value)}: ${read.error?.message}`)
      count++
    }
  }
  assert.ok(count > 70, String(count))
})

type Field = { readonly pointer: string; readonly schema: JsonSchema }

/** Every place of a body that has a schema of its own, but for what is inside lists. */
function fieldsOf(schema: JsonSchema, pointer = ''): Field[] {
  const properties = Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>)
  const choices = (schema['anyOf'] ?? []) as readonly JsonSchema[]
  return [
    { pointer, schema },
    ...properties.flatMap(([name, one]) => fieldsOf(one, `${pointer}/${name}`)),
    ...choices.flatMap((one) => fieldsOf(one, pointer)),
  ]
}

/** A value at the end of a limit, and the first one beyond it. */
function valuesAround(schema: JsonSchema): [keyword: string, within: unknown, beyond: unknown][] {
  const around: [string, unknown, unknown][] = []
  for (const [keyword, step] of Object.entries({ minimum: -1, maximum: 1 })) {
    const limit = schema[keyword]
    if (typeof limit === 'number' && limit < Number.MAX_SAFE_INTEGER) around.push([keyword, limit, limit + step])
  }
  const { maxLength, minLength, maxItems } = schema as Readonly<Record<string, number | undefined>>
  const text = (length: number) => 'a'.repeat(length)
  if (maxLength !== undefined) around.push(['maxLength', text(maxLength), text(maxLength + 1)])
  if (minLength !== undefined) around.push(['minLength', text(minLength), text(minLength - 1)])
  const items = schema['items'] as JsonSchema | undefined
  const [item = 'a'.repeat(32)] = (items?.['enum'] ?? []) as readonly string[]
  const one = items?.['type'] === 'object' ? { id: item } : item
  if (maxItems !== undefined)
    around.push(['maxItems', new Array(maxItems).fill(one), new Array(maxItems + 1).fill(one)])
  return around
}

test('the limits that are described are those that hold', async () => {
  const description = await read()
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  let count = 0
  for (const { key, path, method, operation } of operationsOf(description)) {
    const { schema, example } = operation.requestBody?.content['application/json'] ?? {}
    if (method !== 'post' || schema === undefined) continue
    const url = path.replace('{account_id}', account).replace('{input_id}', uid)
    for (const field of fieldsOf(schema)) {
      for (const [keyword, within, beyond] of valuesAround(field.schema)) {
        const refusedPlaces = async (value: unknown) => {
          const { body } = await server.call('POST', url, withValue(example as object, field.pointer, value))
          return body.errors.map(({ source }) => source?.pointer)
        }
        const told = `${key} ${field.pointer} ${keyword}`
        assert.ok((await refusedPlaces(beyond)).includes(field.pointer), `${told}: ${String(beyond).slice(0, 40)}`)
        // Texts of one letter are no urls and no addresses, whatever their length.
        if (!/\/(url|email)$/.test(field.pointer))
          assert.ok(!(await refusedPlaces(within)).includes(field.pointer), told)
        count++
      }
    }
  }
  assert.ok(count > 30, String(count))
})

test('what JSON Schema cannot say of a limit stands in words', async () => {
  const description = await read()
  const schema = (path: string) => description.paths[path]?.['post']?.requestBody?.content['application/json']?.schema
  const words = (path: string, pointer: string) =>
    fieldsOf(schema(`/client/v4/accounts/{account_id}${path}`)!)
      .filter((field) => field.pointer === pointer)
      .map((field) => field.schema['description'])
      .join(' ')
  assert.match(words('/stream/live_inputs', '/meta'), new RegExp(`${metaBytesMax} bytes`))
  assert.match(words('/stream/live_inputs/{input_id}/outputs', '/tls/fingerprint'), /64 hex digits/)
  assert.match(words('/stream/live_inputs/{input_id}/outputs', '/resumeSeconds'), /BUFFER_MS/)
  assert.match(words('/alerting/v3/destinations/webhooks', '/url'), /without user name/)
  const parameters = Object.values(description.paths).flatMap((methods) =>
    Object.values(methods).flatMap((operation) => operation.parameters ?? []),
  )
  const numbers = parameters.filter((one) => ['limit', 'page', 'per_page'].includes(one.name))
  assert.ok(numbers.length >= 4)
  for (const one of numbers) assert.match(one.description ?? '', /from 1 to \d+/, one.name)
})

/** A body with another value at one place. @param pointer RFC 6901, without escapes. */
function withValue(body: object, pointer: string, value: unknown): object {
  const [, name = '', ...rest] = pointer.split('/')
  const before = (body as Readonly<Record<string, unknown>>)[name]
  const inside = typeof before === 'object' && before !== null ? before : {}
  return { ...body, [name]: rest.length === 0 ? value : withValue(inside, `/${rest.join('/')}`, value) }
}

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
  assert.match(body, /deleteRecordingAfterDays<\/code><\/td><td>integer from 30 to 1096 or null</)
  assert.match(body, /<td>text of at most 64 or null</)
  assert.match(body, /At most 16384 bytes as JSON/)
  const links = [...body.matchAll(/href="#([^"]+)"/g)].map(([, to]) => to)
  for (const link of links) assert.ok(body.includes(`id="${link}"`), link)
})
