import { readFileSync } from 'node:fs'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { apiErrorCodes } from './envelope.ts'
import { operations, tags } from './operations.ts'
import type { HttpRoutes } from './routes.ts'
import { failureAnswer } from './schemas.ts'

export type JsonSchema = { readonly [keyword: string]: unknown }
export type Answer = {
  readonly description: string
  readonly content?: { readonly [type: string]: { readonly schema?: JsonSchema; readonly example?: unknown } }
  readonly headers?: { readonly [name: string]: { readonly description?: string } }
}
export type Parameter = {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema?: JsonSchema
}
export type DescribedOperation = {
  operationId?: string
  summary?: string
  description?: string
  tags?: string[]
  security?: object[]
  parameters?: Parameter[]
  requestBody?: { required?: boolean; readonly content: { [type: string]: { schema?: JsonSchema; example?: unknown } } }
  responses: { [status: string]: Answer | { readonly $ref: string } }
}
/** As much of OpenAPI 3.1 as is used here. */
export type ApiDescription = {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly tags: readonly { readonly name: string; readonly description?: string }[]
  readonly paths: { readonly [path: string]: { readonly [method: string]: DescribedOperation } }
  readonly components: { responses: { [name: string]: Answer } }
}

const json = 'application/json'

/** Which codes come with which status. */
const refusals: readonly {
  readonly status: number
  readonly name: string
  readonly codes: readonly (keyof typeof apiErrorCodes)[]
  readonly of: (operation: { method: string; hasBody: boolean }) => boolean
}[] = [
  { status: 400, name: 'BadRequest', codes: [6003, 9106, 10005, 10060], of: () => true },
  { status: 401, name: 'InvalidToken', codes: [1000], of: () => false },
  { status: 403, name: 'Forbidden', codes: [10000], of: () => true },
  { status: 404, name: 'NotFound', codes: [7000, 7003, 10003], of: () => true },
  { status: 405, name: 'MethodNotAllowed', codes: [7000, 7003], of: () => false },
  { status: 408, name: 'RequestTimeout', codes: [11408], of: ({ hasBody }) => hasBody },
  { status: 409, name: 'Conflict', codes: [11409, 11410], of: ({ method }) => method !== 'get' },
  { status: 413, name: 'TooLarge', codes: [11413], of: ({ hasBody }) => hasBody },
  { status: 429, name: 'TooMany', codes: [11429], of: () => true },
  { status: 431, name: 'HeadersTooLarge', codes: [11431], of: () => true },
  { status: 500, name: 'ServerError', codes: [11500], of: () => true },
  { status: 503, name: 'Unavailable', codes: [11503], of: () => true },
  { status: 507, name: 'StoreFull', codes: [11507], of: ({ method }) => method !== 'get' },
]

/**
 * Watches the routes that are added from now on: what describes the API is the very schemas that validate its requests.
 * @returns the description, made when it is first asked for, after all routes are there.
 */
export async function describeRoutes(routes: HttpRoutes): Promise<() => ApiDescription> {
  await routes.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'stream-connect', version: versionOfPackage(), description: about },
      servers: [{ url: '/' }],
      tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer' },
          email: { type: 'apiKey', in: 'header', name: 'X-Auth-Email' },
          key: { type: 'apiKey', in: 'header', name: 'X-Auth-Key' },
        },
      },
    },
    transform: ((route) => {
      const { schema, url } = jsonSchemaTransform(route as Parameters<typeof jsonSchemaTransform>[0])
      // What only says that a path has not this method is no operation.
      const isOperation = schema?.response !== undefined
      return { schema: isOperation ? schema : { hide: true }, url }
    }) as NonNullable<FastifyDynamicSwaggerOptions['transform']>,
  })
  let description: ApiDescription | undefined
  return () => {
    description ??= completed(withoutDanglingReferences(routes.swagger()) as ApiDescription)
    return description
  }
}

function versionOfPackage(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

const about =
  'Live inputs and their outputs as Cloudflare Stream has them, and more. Every answer is in the envelope `{result, success, errors, messages}`, but for those of DELETE that say `{}`. A body is read as JSON whatever its Content-Type is.'

/** The schema of any JSON refers to itself, by a name that is nowhere: any JSON is what a schema without keywords says. */
function withoutDanglingReferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDanglingReferences)
  if (typeof value !== 'object' || value === null) return value
  if (/^#\/components\/schemas\/schema\d+$/.test(String((value as { $ref?: unknown }).$ref))) return {}
  const entries = Object.entries(value).filter(([name]) => name !== 'schemas' || !('securitySchemes' in value))
  return Object.fromEntries(entries.map(([name, one]) => [name, withoutDanglingReferences(one)]))
}

function completed(description: ApiDescription): ApiDescription {
  const schema = z.toJSONSchema(failureAnswer, { io: 'output' }) as JsonSchema
  description.components.responses = Object.fromEntries(
    refusals.map(({ status, name, codes }) => [name, refusalAnswer(status, codes, schema)]),
  )
  for (const [path, methods] of Object.entries(description.paths))
    for (const [method, operation] of Object.entries(methods)) complete(operation, method, path)
  return description
}

function complete(operation: DescribedOperation, method: string, path: string): void {
  const words = operations[`${method.toUpperCase()} ${path}`]
  if (words !== undefined) {
    operation.operationId = words.id
    operation.tags = [words.tag]
    operation.summary = words.summary
    if (words.description !== undefined) operation.description = words.description
    for (const { name, description } of words.headers ?? [])
      operation.parameters = [
        ...(operation.parameters ?? []),
        { name, in: 'header', description, schema: { type: 'string' } },
      ]
  }
  const sent = operation.requestBody?.content[json]
  if (operation.requestBody !== undefined) operation.requestBody.required = false
  if (sent !== undefined && words?.body !== undefined) sent.example = words.body
  for (const [status, answer] of Object.entries(operation.responses)) {
    if ('$ref' in answer) continue
    const isDefault = answer.description === 'Default Response'
    const content = answer.content?.[json]
    const example = words?.result !== undefined && { result: words.result, success: true, errors: [], messages: [] }
    operation.responses[status] = {
      ...answer,
      ...(isDefault && { description: status === '200' ? 'It was done.' : 'It was not.' }),
      ...(content && { content: { [json]: { ...content, ...(example && { example }) } } }),
    }
  }
  if (!path.startsWith('/client/v4')) return
  operation.security = [{ token: [] }, { email: [], key: [] }]
  const kind = { method, hasBody: operation.requestBody !== undefined }
  for (const { status, name, of } of refusals)
    if (of(kind) || (status === 401 && path.endsWith('/tokens/verify')))
      operation.responses[String(status)] ??= { $ref: `#/components/responses/${name}` }
}

function refusalAnswer(status: number, codes: readonly (keyof typeof apiErrorCodes)[], schema: JsonSchema): Answer {
  const [first] = codes
  const errors = first === undefined ? [] : [{ code: first, message: apiErrorCodes[first] }]
  return {
    description: codes.map((code) => `${code}: ${apiErrorCodes[code]}`).join('\n\n'),
    ...(status === 429 && {
      headers: {
        'Retry-After': { description: 'Seconds to wait.' },
        Ratelimit: { description: '`"default";r=<requests left>;t=<seconds until they are anew>`' },
        'Ratelimit-Policy': { description: '`"default";q=<requests>;w=<seconds>`' },
      },
    }),
    content: { [json]: { schema, example: { success: false, errors, messages: [], result: null } } },
  }
}
