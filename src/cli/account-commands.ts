import type { WireAccount, WireCreatedAccount, WireCreatedToken, WireToken } from '../api/account-schemas.ts'
import type { Scope } from '../model/access-token.ts'
import { type Command, WrongUsage } from './command.ts'
import { listAll } from './list-all.ts'
import { printJson } from './print-json.ts'
import { sheet, table } from './table.ts'

/** As they are typed; on the wire they have Cloudflare's names. */
const scopeWords: Readonly<Record<string, Scope>> = {
  read: 'Stream Read',
  write: 'Stream Write',
  tokens: 'Account API Tokens Write',
}

const dayMs = 24 * 3_600_000

export const accountCommands: readonly Command[] = [
  {
    words: ['account', 'create'],
    takes: [],
    summary: 'makes an account: its live inputs are seen by its own tokens alone',
    details:
      'With --email it also makes a key for a person who logs in with X-Auth-Email and X-Auth-Key. The key is shown this once. Takes a token with rights in all accounts (the API token of the server has them).',
    options: {
      name: { value: 'NAME', meaning: 'what people call it', isRequired: true },
      email: { value: 'EMAIL', meaning: 'whose key shall be made' },
    },
    examples: [
      'stream-connect account create --name "Studio 2"',
      'stream-connect account create --name "Studio 2" --email ada@example.com',
    ],
    worksOffline: true,
    async run(invocation) {
      const body = { name: invocation.option('name'), email: invocation.option('email') }
      const { result } = await invocation.api.call<WireCreatedAccount>('POST', '/accounts', body)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(
        sheet([
          ['Account', result.id],
          ['Name', result.name],
          ['X-Auth-Email', result.key?.email],
          ['X-Auth-Key', result.key?.value],
        ]),
      )
      if (result.key !== undefined) invocation.note('The key is shown this once. Keep it.')
    },
  },
  {
    words: ['account', 'list'],
    takes: [],
    summary: 'lists the accounts that the token may use, the first one first',
    options: {},
    examples: ['stream-connect account list', 'stream-connect account list --json'],
    worksOffline: true,
    async run(invocation) {
      const accounts = await listAll<WireAccount>(invocation.api, '/accounts')
      if (invocation.isJson) return printJson(invocation, accounts)
      invocation.print(
        table(
          ['ACCOUNT', 'NAME', 'CREATED'],
          accounts.map(({ id, name, created_on }) => [id, name, created_on ?? '–']),
        ),
      )
    },
  },
  {
    words: ['token', 'create'],
    takes: [],
    summary: 'makes a token and prints it, this once',
    details:
      'The token alone goes to standard output. The server keeps nothing but its SHA-256. A token can give no rights that it has not itself.',
    options: {
      name: { value: 'NAME', meaning: 'what it is for', isRequired: true },
      scope: {
        value: 'SCOPE',
        meaning:
          'read (Stream Read), write (Stream Write: reads, too) or tokens (makes and revokes tokens); may be given more than once; without it: write',
        isList: true,
      },
      'all-accounts': { meaning: 'good for every account, those to come too' },
      expires: {
        value: 'WHEN',
        meaning: 'after so many days (90d) or at a time (2030-01-31 or 2030-01-31T12:00:00Z); without it: never',
      },
    },
    examples: [
      'stream-connect token create --name "Control room"',
      'stream-connect token create --name "Status page" --scope read --expires 90d',
      'TOKEN=$(stream-connect token create --name "Platform" --scope write --scope tokens --all-accounts)',
    ],
    worksOffline: true,
    async run(invocation) {
      const typed = invocation.options('scope')
      const expires = invocation.option('expires')
      const body = {
        name: invocation.option('name'),
        scopes: (typed.length === 0 ? ['write'] : typed).map(scopeOf),
        ...(invocation.flag('all-accounts') && { all_accounts: true }),
        ...(expires !== undefined && { expires_on: timeOf(expires, invocation.clock.now()) }),
      }
      const path = `/accounts/${await invocation.account()}/tokens`
      const { result } = await invocation.api.call<WireCreatedToken>('POST', path, body)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(`${result.value}\n`)
      invocation.note(`Token ${result.id}: ${rightsOf(result)}. It is shown this once. Keep it.`)
    },
  },
  {
    words: ['token', 'list'],
    takes: [],
    summary: 'lists tokens and keys: what they may do, until when, and when they were last used',
    options: {},
    examples: ['stream-connect token list', 'stream-connect token list --json'],
    worksOffline: true,
    async run(invocation) {
      const tokens = await listAll<WireToken>(invocation.api, `/accounts/${await invocation.account()}/tokens`)
      if (invocation.isJson) return printJson(invocation, tokens)
      invocation.print(
        table(
          ['TOKEN', 'NAME', 'RIGHTS', 'EXPIRES', 'LAST USED'],
          tokens.map((token) => [
            token.id,
            token.name,
            rightsOf(token),
            token.status === 'expired' ? `expired ${token.expires_on}` : (token.expires_on ?? 'never'),
            token.last_used_on ?? 'never',
          ]),
        ),
      )
    },
  },
  {
    words: ['token', 'revoke'],
    takes: ['TOKEN'],
    summary: 'ends a token or a key, at once; TOKEN is its id, as in the list',
    options: {},
    examples: ['stream-connect token revoke 5e1c0d7c9b8a4f0e8d6b3a2f1c0e9d8b'],
    worksOffline: true,
    async run(invocation) {
      const [id = ''] = invocation.given
      const path = `/accounts/${await invocation.account()}/tokens/${encodeURIComponent(id)}`
      const { result } = await invocation.api.call<{ id: string }>('DELETE', path)
      if (invocation.isJson) return printJson(invocation, result)
      invocation.print(`revoked ${result.id}\n`)
    },
  },
]

function rightsOf({ scopes, all_accounts }: WireToken): string {
  return `${scopes.join(', ')}${all_accounts ? ', in all accounts' : ''}`
}

function scopeOf(word: string): Scope {
  // As Cloudflare's dashboard calls them, too.
  const scope = scopeWords[word] ?? Object.values(scopeWords).find((name) => name.toLowerCase() === word.toLowerCase())
  if (scope === undefined) throw new WrongUsage(`--scope is one of: ${Object.keys(scopeWords).join(', ')}.`)
  return scope
}

function timeOf(text: string, now: number): string {
  const days = /^(\d{1,5})d$/.exec(text)?.[1]
  const at = days === undefined ? Date.parse(text) : now + Number(days) * dayMs
  if (Number.isNaN(at) || (days === undefined && !/^\d{4}-\d\d-\d\d/.test(text)))
    throw new WrongUsage('--expires is a number of days (90d) or a time (2030-01-31 or 2030-01-31T12:00:00Z).')
  return new Date(at).toISOString()
}
