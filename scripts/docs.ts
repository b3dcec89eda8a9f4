/**
 * Prints the documentation that is made of the code: `npm run docs` writes it; test/house holds it against the code.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { apiErrorCodes, noticeCode } from '../src/api/envelope.ts'
import { defaultText } from '../src/command-line.ts'
import {
  busErrorCodes,
  ingestErrorCodes,
  inputWarningCodes,
  outputErrorCodes,
  outputWarningCodes,
  startErrorCodes,
  storeErrorCodes,
} from '../src/errors.ts'
import { flagOf, type Setting, settings, variablePrefix } from '../src/settings.ts'
import { limitsPage } from './limits-page.ts'
import { markdownTable, printedFrom } from './markdown.ts'
import { statesPage } from './states-page.ts'

/** Path from the root of the repository -> text. */
export function generatedDocs(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/config.md', configPage()],
    ['docs/error-codes.md', errorCodesPage()],
    ['docs/limits.md', limitsPage()],
    ['docs/states.md', statesPage()],
  ])
}

function configPage(): string {
  const rows = (Object.values(settings) as readonly Setting[]).map((one) => {
    const flag = flagOf(one)
    const fallback = one.defaultNote ?? (one.default === undefined ? defaultText(one) : `\`${one.default}\``)
    return [
      `\`${variablePrefix}${one.name}\``,
      flag === undefined ? '–' : `\`${flag}\``,
      fallback,
      one.unit ?? '',
      one.meaning + (one.withoutEffect ? ' *No effect in this version.*' : ''),
    ]
  })
  return `${printedFrom('src/settings.ts')}
# Settings

Each setting is an environment variable and, unless it is a secret, a flag: \`npm start -- --http-port 9000\`. The flag wins over the
variable, and an empty value counts as not set. \`npm start -- --help\` prints this list.

${markdownTable(['variable', 'flag', 'default', 'unit', 'meaning'], rows)}
A setting that cannot be used, an unknown flag, an unknown variable that begins with \`${variablePrefix}\`, or a port that is taken ends
the start with one sentence that names setting, value and mend, and with exit status 2. The value of a secret is never repeated.

Destinations' certificates are checked against the authorities that Node knows; \`NODE_EXTRA_CA_CERTS\` (a PEM file) adds others.

## What is answered without a token

\`/healthz\` (the process serves requests), \`/readyz\` (all that requests need is up, and the server does not stop), \`/metrics\`
(Prometheus; \`docs/grafana-dashboard.json\` shows it), \`/openapi.json\`, \`/docs\`, and \`/{live input}/lifecycle\`, which players ask. None of them
names an account, a key or a destination; \`/metrics\` does say how much goes on, so let only Prometheus reach it where that matters.

## What lies in DATA_DIR

The folder has mode 0700 and its files 0600; a folder that other users may read is refused, unless it is empty: then it is closed.

${markdownTable(
  ['file', 'holds', 'when it is lost'],
  [
    [
      '`stream-connect.sqlite`',
      'live inputs, outputs, their status, accounts, tokens (hashed)',
      'everything has to be set up anew',
    ],
    [
      '`stream-connect.sqlite-wal`',
      'the latest changes, while the server runs, and after a crash',
      'those changes are gone, and the database may be damaged',
    ],
    ['`stream-connect.sqlite-shm`', 'an index of `-wal`', 'it is made again, once no server runs'],
    ['`server.lock`', 'nothing: the server that runs holds it', 'it is made again'],
    [
      '`server.pid`',
      'the process that runs; for the sentence that says so to a second one',
      'that sentence has no number',
    ],
    [
      '`secret-key`',
      'the key that encrypts stream keys in the database',
      'the database can no longer be used: keep a copy',
    ],
    [
      '`secret-key-previous`',
      'the key of before, where a person has put it to change keys',
      'nothing, once the server has started with the new key',
    ],
    ['`api-token`', 'the token of the first start', 'a new one is made and printed at the next start'],
    ['`api-url`', 'where the API of the running server is; for the command line', 'it is written at the next start'],
    ['`account-id`', 'the id of the first account', 'a new one is made; inputs of the old one are no longer seen'],
    ['`tls-cert.pem`, `tls-key.pem`', 'the self-signed certificate', 'a new one is made'],
  ],
)}
To copy the database, stop the server first and copy the whole folder: a copy of \`stream-connect.sqlite\` alone that is taken while the
server runs lacks the changes that are still in \`-wal\`. After a stop that was not cut short \`-wal\` and \`-shm\` are gone.

## Another SECRET_KEY

Stop the server, give it the new key and the old one, and start it: before it serves anything, everything in the database is encrypted anew.

- The key is a variable: set \`${variablePrefix}SECRET_KEY\` to the new key (\`openssl rand -base64 32\`) and
  \`${variablePrefix}SECRET_KEY_PREVIOUS\` to the old one.
- The key is in DATA_DIR: \`mv DATA_DIR/secret-key DATA_DIR/secret-key-previous\`; the start makes a new one.

It is one transaction: a power failure leaves everything with the old key or everything with the new, and the next start with both keys
goes on from there. What the old key encrypted is wiped from the database file. Afterwards the old key has no effect and can be removed;
backups made before still need it. Stream keys, passwords and webhook secrets stay what they were: if the database itself may have been copied
together with its key, rotate those, too. The log says \`the database is encrypted with the new SECRET_KEY now\` when it was done.
`
}

function errorCodesPage(): string {
  const sections: readonly (readonly [string, string, Readonly<Record<string, string>>])[] = [
    [
      'Outputs',
      'Why an output is not (or no longer) live: `status.current.reason` and `health.lastError.code` of an output.',
      outputErrorCodes,
    ],
    [
      'Warnings of outputs',
      'What is wrong with an output that is live all the same: `health.warning.code` of an output.',
      outputWarningCodes,
    ],
    [
      'API',
      `\`errors[].code\` of an answer. Below 11000 they are Cloudflare's own; from there on 11000 + the HTTP status. An entry in \`messages\` has the code ${noticeCode}: the request was carried out, and something in it has no effect or looks wrong.`,
      apiErrorCodes,
    ],
    ['Start', 'Why the server did not start. It ends with exit status 2.', startErrorCodes],
    ['Encoders', 'Why an encoder was refused or cut. In the log and in events.', ingestErrorCodes],
    [
      'Warnings of live inputs',
      'What should be set otherwise at the encoder; its feed is relayed as it is. `health.warnings[].code` of a live input.',
      inputWarningCodes,
    ],
    ['Store', 'What can go wrong with the database. In the log, and behind a 5xx answer of the API.', storeErrorCodes],
    [
      'Bus',
      'What can go wrong between the parts of the server. In the log, and behind a 5xx answer of the API.',
      busErrorCodes,
    ],
  ]
  const printed = sections.map(([title, meaning, codes]) => {
    const rows = Object.entries(codes).map(([code, sentence]) => [`\`${code}\``, sentence])
    return `## ${title}\n\n${meaning}\n\n${markdownTable(['code', 'meaning, and what to do'], rows)}`
  })
  return `${printedFrom('src/errors.ts and src/api/envelope.ts')}
# Error codes

A code is never renamed and never gets a second meaning: programs may rely on it. The sentence that comes with it is for people, and
may be more exact than the one here: it names the destination's own words, the setting, or the value.

${printed.join('\n')}`
}

if (import.meta.main)
  for (const [path, text] of generatedDocs()) writeFileSync(join(import.meta.dirname, '..', path), text)
