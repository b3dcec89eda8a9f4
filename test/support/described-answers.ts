import { z } from 'zod'
import { jsonPointer } from '../../src/api/envelope.ts'
import type { Answer, ApiDescription, DescribedOperation } from '../../src/api/openapi.ts'

type Path = {
  readonly path: string
  readonly pattern: RegExp
  readonly methods: { readonly [method: string]: DescribedOperation }
}

/** Holds answers against /openapi.json: what is answered and not described so is a mistake of the one or the other. */
export class DescribedAnswers {
  readonly #description: ApiDescription
  readonly #paths: readonly Path[]
  readonly #schemas = new Map<object, z.ZodType>()

  constructor(description: ApiDescription) {
    this.#description = description
    const places = (path: string) => path.split('{').length
    this.#paths = Object.entries(description.paths)
      // Words go before ids: `outputs/test` is no output.
      .sort(([a], [b]) => places(a) - places(b))
      .map(([path, methods]) => ({
        path,
        pattern: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`),
        methods,
      }))
  }

  /** @throws Error with route, status and place when the status or the body is none that the description knows. */
  check(method: string, url: string, status: number, body: string): void {
    if (method === 'HEAD' || method === 'OPTIONS') return
    const path = url
      .split('?', 1)[0]!
      .replaceAll(/\/{2,}/g, '/')
      .replace(/(?<=.)\/$/, '')
    const route = this.#paths.find(({ pattern }) => pattern.test(path))
    const operation = route?.methods[method.toLowerCase()]
    const answer =
      operation === undefined ? this.#answerOfNoOperation(status) : this.#resolved(operation.responses[status])
    const told = `${method} ${route?.path ?? 'no route'} (${path.slice(0, 200)}): ${status}`
    if (answer === undefined) throw new Error(`${told} is not described in /openapi.json`)
    const schema = answer.content?.['application/json']?.schema
    if (schema === undefined) throw new Error(`${told} has no schema in /openapi.json`)
    const read = this.#schemaOf(schema).safeParse(readJson(body, told))
    if (read.success) return
    const places = read.error.issues.map((issue) => `${jsonPointer(issue.path) || 'the whole'}: ${issue.message}`)
    throw new Error(`${told} is not as /openapi.json says: ${places.join('; ')}: ${body.slice(0, 2_000)}`)
  }

  /** A path or method that is not there is refused with one of the statuses that all operations have. */
  #answerOfNoOperation(status: number): Answer | undefined {
    const names: Readonly<Record<number, string>> = {
      400: 'BadRequest',
      403: 'Forbidden',
      404: 'NotFound',
      405: 'MethodNotAllowed',
      413: 'TooLarge',
      429: 'TooMany',
    }
    return this.#description.components.responses[names[status] ?? '']
  }

  #resolved(answer: Answer | { readonly $ref: string } | undefined): Answer | undefined {
    if (answer === undefined || !('$ref' in answer)) return answer
    return this.#description.components.responses[answer.$ref.slice(answer.$ref.lastIndexOf('/') + 1)]
  }

  #schemaOf(schema: object): z.ZodType {
    const known = this.#schemas.get(schema) ?? z.fromJSONSchema(schema as never)
    this.#schemas.set(schema, known)
    return known
  }
}

function readJson(body: string, told: string): unknown {
  try {
    return JSON.parse(body)
  } catch (error) {
    throw new Error(`${told} is no JSON: ${body.slice(0, 500)}`, { cause: error })
  }
}
