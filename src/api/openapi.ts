import { readFileSync } from 'node:fs'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { apiErrorCodes } from './envelope.ts'
import { type Operation, operations, tags } from './operations.ts'
import type { HttpRoutes } from './routes.ts'
import { failureAnswer } from './schemas.ts'

export type JsonSchema = { readonly [keyword: string]: unknown }
export type Content = {
  readonly schema?: JsonSchema
  readonly example?: unknown
  readonly examples?: { readonly [name: string]: { readonly value: unknown } }
}
export type Answer = {
  readonly description: string
  readonly content?: { readonly [type: string]: Content }
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

type Kind = {
  readonly path: string
  /** The API, with an account and a token; the others are about the server, and answered to everybody. */
  readonly isApi: boolean
  /** A body may come with it, whether it is read or not. */
  readonly takesBody: boolean
  readonly writes: boolean
}

/** Which codes come with which status, and where. */
const refusals: readonly {
  readonly status: number
  readonly name: string
  readonly codes: readonly (keyof typeof apiErrorCodes)[]
  readonly of: (operation: Kind) => boolean
}[] = [
  { status: 400, name: 'BadRequest', codes: [6003, 9106, 10005, 10060], of: ({ isApi }) => isApi },
  { status: 401, name: 'InvalidToken', codes: [1000, 11401], of: ({ isApi }) => isApi },
  { status: 403, name: 'Forbidden', codes: [10000, 11403], of: ({ isApi }) => isApi },
  {
    status: 404,
    name: 'NotFound',
    codes: [10003, 7003, 7000, 11404],
    of: ({ isApi, path }) => isApi || path.includes('{'),
  },
  // Of paths without an operation of this method.
  { status: 405, name: 'MethodNotAllowed', codes: [7003, 7000], of: () => false },
  { status: 408, name: 'RequestTimeout', codes: [11408], of: ({ takesBody }) => takesBody },
  { status: 409, name: 'Conflict', codes: [11409, 11410], of: ({ writes }) => writes },
  { status: 413, name: 'TooLarge', codes: [11413], of: ({ takesBody }) => takesBody },
  { status: 429, name: 'TooMany', codes: [11429], of: ({ isApi }) => isApi },
  { status: 431, name: 'HeadersTooLarge', codes: [11431], of: () => true },
  { status: 500, name: 'ServerError', codes: [11500], of: () => true },
  { status: 503, name: 'Unavailable', codes: [11503], of: ({ isApi }) => isApi },
  { status: 507, name: 'StoreFull', codes: [11507], of: ({ writes }) => writes },
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
  for (const [status, answer] of Object.entries(operation.responses))
    if (!('$ref' in answer)) operation.responses[status] = described(answer, status, words)
  const isApi = path.startsWith('/client/v4')
  const takesBody = method !== 'get'
  const kind = { path, isApi, takesBody, writes: takesBody && words?.writes !== false }
  if (isApi) operation.security = [{ token: [] }, { email: [], key: [] }]
  for (const { status, name, of } of refusals)
    if (of(kind)) operation.responses[String(status)] ??= { $ref: `#/components/responses/${name}` }
}

function described(answer: Answer, status: string, words: Operation | undefined): Answer {
  const isDefault = answer.description === 'Default Response'
  const example = status === '200' ? exampleOf(words) : words?.otherAnswers?.[status]
  return {
    ...answer,
    ...(isDefault && { description: status === '200' ? 'It was done.' : 'It was not.' }),
    ...(answer.content && {
      content: Object.fromEntries(
        Object.entries(answer.content).map(([type, content]) => [
          type,
          { ...content, ...(example !== undefined && { example }) },
        ]),
      ),
    }),
  }
}

function exampleOf(words: Operation | undefined): unknown {
  if (words?.result === undefined) return words?.answer
  const { result, info } = words
  return { result, success: true, errors: [], messages: [], ...(info !== undefined && { result_info: info }) }
}

function refusalAnswer(status: number, codes: readonly (keyof typeof apiErrorCodes)[], schema: JsonSchema): Answer {
  const examples = Object.fromEntries(
    codes.map((code) => {
      const errors = [{ code, message: apiErrorCodes[code] }]
      return [code, { value: { success: false, errors, messages: [], result: null } }]
    }),
  )
  return {
    description: codes.map((code) => `${code}: ${apiErrorCodes[code]}`).join('\n\n'),
    ...(status === 429 && {
      headers: {
        'Retry-After': { description: 'Seconds to wait.' },
        Ratelimit: { description: '`"default";r=<requests left>;t=<seconds until they are anew>`' },
        'Ratelimit-Policy': { description: '`"default";q=<requests>;w=<seconds>`' },
      },
    }),
    content: { [json]: { schema, examples } },
  }
}
