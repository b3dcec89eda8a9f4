import {
  account as accountExample,
  delivery,
  destinationTest,
  events,
  failingOutput,
  input,
  listedInput,
  liveInput,
  metrics,
  onePage,
  output,
  policy,
  policyBody,
  token,
  tokenText,
  webhook,
  webhookBody,
  webhookTest,
} from './examples.ts'

/** What the description of the API says in words about each operation. What it takes and answers is in the schemas that validate. */

export type Operation = {
  readonly id: string
  readonly tag: Tag
  /** One line. */
  readonly summary: string
  readonly description?: string
  /** Examples: of the request's body, and of the answer's `result` and `result_info`. */
  readonly body?: unknown
  readonly result?: unknown
  readonly info?: unknown
  /** Of the whole answer, where it has no envelope. */
  readonly answer?: unknown
  /** Of answers with other statuses than 200 that are no refusals, by status. */
  readonly otherAnswers?: Readonly<Record<string, unknown>>
  /** False where it changes nothing in the store, although its method says so. */
  readonly writes?: false
  /** Request headers that are read, besides those of authentication. */
  readonly headers?: readonly { readonly name: string; readonly description: string }[]
}

export const tags = {
  'Live inputs': 'What encoders send to. As Cloudflare Stream has it.',
  Outputs: 'Where the feed of a live input goes. As Cloudflare Stream has it; retry and test are ours.',
  Events: 'What goes on, as it happens.',
  Webhooks: 'Who is told when something happens: destinations, policies, and what became of each delivery.',
  'Accounts and tokens': 'Who may do what.',
  Server: 'Without a token.',
} as const
export type Tag = keyof typeof tags

const accounts = '/client/v4/accounts'
const account = `${accounts}/{account_id}`
const inputs = `${account}/stream/live_inputs`
const outputs = `${inputs}/{input_id}/outputs`
const webhooks = `${account}/alerting/v3/destinations/webhooks`
const policies = `${account}/alerting/v3/policies`
const deliveries = `${account}/alerting/v3/deliveries`

/** By method and path. */
export const operations: Readonly<Record<string, Operation>> = {
  [`GET ${inputs}`]: {
    ...{ id: 'listLiveInputs', tag: 'Live inputs', summary: 'List live inputs' },
    description:
      'All live inputs of the account in a bare array, the newest first. `include_counts=true` makes it an object with counts, as Cloudflare’s types have it. `search`, `sort`, `limit`, `cursor` and `include` are ours; where one of them is sent, `result_info` has the counts, and the cursor of the next page.',
    result: [listedInput],
  },
  [`POST ${inputs}`]: {
    ...{ id: 'createLiveInput', tag: 'Live inputs', summary: 'Create a live input' },
    description:
      'Every field may be left out. `recording`, `deleteRecordingAfterDays`, `preferLowLatency` and `defaultCreator` are checked, kept and answered, and take effect when this server can record; `messages` says so.',
    body: { meta: { name: 'test stream 1' } },
    result: input,
    headers: [
      {
        name: 'Idempotency-Key',
        description:
          'At most 255 bytes of your choice. For six hours a repeat with the same key answers with the live input that the first has made. If that was deleted: 409 with code 11410 and `x-should-retry: false`.',
      },
    ],
  },
  [`GET ${inputs}/{input_id}`]: {
    ...{ id: 'getLiveInput', tag: 'Live inputs', summary: 'Read a live input, with its keys and status' },
    result: liveInput,
  },
  [`PUT ${inputs}/{input_id}`]: {
    ...{ id: 'updateLiveInput', tag: 'Live inputs', summary: 'Change a live input' },
    description:
      'A field that is left out stays as it is. `null` puts its default back: of `meta` the empty object, of `enabled` true, of what is kept for recording nothing at all. `recording` is merged name by name. `enabled: false` cuts the encoder.',
    body: { enabled: false },
    result: { ...input, enabled: false },
  },
  [`DELETE ${inputs}/{input_id}`]: {
    ...{ id: 'deleteLiveInput', tag: 'Live inputs', summary: 'Delete a live input and its outputs' },
    description: 'Who sends to it is cut. The answer is `{}`, without an envelope.',
    answer: {},
  },
  [`POST ${inputs}/{input_id}/enable`]: {
    ...{ id: 'enableLiveInput', tag: 'Live inputs', summary: 'Let encoders in' },
    result: input,
  },
  [`POST ${inputs}/{input_id}/disable`]: {
    ...{ id: 'disableLiveInput', tag: 'Live inputs', summary: 'Cut the encoder and refuse all others' },
    result: { ...input, enabled: false },
  },
  [`POST ${inputs}/{input_id}/rotate_keys`]: {
    ...{ id: 'rotateLiveInputKeys', tag: 'Live inputs', summary: 'Make a new stream key' },
    description: 'The old one opens nothing any more, and who sends with it is cut.',
    result: { ...input, keysRotatedAt: '2026-01-02T04:00:00.000000Z' },
  },
  [`GET ${inputs}/{input_id}/videos`]: {
    ...{ id: 'listLiveInputVideos', tag: 'Live inputs', summary: 'List the recordings of a live input' },
    description: 'An empty list: this server cannot record yet.',
    result: [],
  },
  [`GET ${outputs}`]: {
    id: 'listOutputs',
    tag: 'Outputs',
    summary: 'List the outputs of a live input',
    result: [failingOutput],
  },
  [`POST ${outputs}`]: {
    ...{ id: 'createOutput', tag: 'Outputs', summary: 'Add an output' },
    description:
      'At any time, a broadcast included: it joins at the next key frame. What looks wrong about url and key, though it may be meant, is said in `messages`.',
    body: { url: output.url, streamKey: output.streamKey },
    result: output,
  },
  [`GET ${outputs}/{output_id}`]: { id: 'getOutput', tag: 'Outputs', summary: 'Read an output', result: failingOutput },
  [`PUT ${outputs}/{output_id}`]: {
    ...{ id: 'updateOutput', tag: 'Outputs', summary: 'Change an output' },
    description: 'Cloudflare changes `enabled` alone; here all of it can be changed.',
    body: { enabled: false },
    result: { ...output, enabled: false },
  },
  [`DELETE ${outputs}/{output_id}`]: {
    ...{ id: 'deleteOutput', tag: 'Outputs', summary: 'Remove an output' },
    description: 'The destination is disconnected. The answer is `{}`, without an envelope.',
    answer: {},
  },
  [`POST ${outputs}/{output_id}/retry`]: {
    ...{ id: 'retryOutput', tag: 'Outputs', summary: 'Connect again now' },
    description: 'Ends the wait of an output that is reconnecting or in error.',
    result: { retried: true },
    writes: false,
  },
  [`POST ${outputs}/test`]: {
    ...{ id: 'testOutput', tag: 'Outputs', summary: 'Try a destination out' },
    description:
      'Connects as far as one can without publishing, and says how far it got. Nothing is saved. With `Accept: application/x-ndjson` each step is told as it happens, one JSON document a line: `{"begun": name}`, `{"ended": step}`, and last this answer.',
    body: { url: output.url, streamKey: output.streamKey },
    result: destinationTest,
    writes: false,
  },
  [`GET ${account}/stream/events`]: {
    ...{ id: 'listenToEvents', tag: 'Events', summary: 'Listen to what happens' },
    description:
      'Server-sent events. `input.status` and `output.status`: a change of state, with the whole status. `figures`, once a second: those of each live input that `inputs` names (ids, joined by commas). `totals`, once a second, where it names none: all live inputs that are live. `reset`: what was missed is not known any more, list again. Send the id that you saw last as Last-Event-ID, as browsers do by themselves. At most 100 listeners for each account.',
    answer: events,
    headers: [{ name: 'Last-Event-ID', description: 'What came after it is told first.' }],
  },
  [`GET ${webhooks}`]: {
    ...{ id: 'listWebhooks', tag: 'Webhooks', summary: 'List the destinations of webhooks' },
    result: [webhook],
  },
  [`POST ${webhooks}`]: {
    ...{ id: 'createWebhook', tag: 'Webhooks', summary: 'Add a destination' },
    description:
      'A test notification is sent, and must be answered with 2xx. `signing_secret` checks the signatures of all that is sent there; it is shown this once.',
    body: webhookBody,
    result: { ...webhook, signing_secret: 'whsec_…' },
  },
  [`GET ${webhooks}/{webhook_id}`]: {
    ...{ id: 'getWebhook', tag: 'Webhooks', summary: 'Read a destination' },
    result: webhook,
  },
  [`PUT ${webhooks}/{webhook_id}`]: {
    ...{ id: 'updateWebhook', tag: 'Webhooks', summary: 'Change a destination' },
    description:
      'A field that is left out stays as it is, `"secret": null` removes. Another url or secret is tested first.',
    body: { name: 'Control room 2' },
    result: { ...webhook, name: 'Control room 2' },
  },
  [`DELETE ${webhooks}/{webhook_id}`]: {
    ...{ id: 'deleteWebhook', tag: 'Webhooks', summary: 'Remove a destination' },
    description: 'It is taken out of the policies that name it.',
    result: { id: webhook.id },
  },
  [`POST ${webhooks}/{webhook_id}/test`]: {
    ...{ id: 'testWebhook', tag: 'Webhooks', summary: 'Send a test notification' },
    result: webhookTest,
    writes: false,
  },
  [`GET ${policies}`]: { id: 'listPolicies', tag: 'Webhooks', summary: 'List policies', result: [policy] },
  [`POST ${policies}`]: {
    ...{ id: 'createPolicy', tag: 'Webhooks', summary: 'Say which events go where' },
    description:
      'Without `input_id` all live inputs are meant, without `event_type` the three of live inputs; events of outputs only where they are named.',
    body: policyBody,
    result: { id: policy.id },
  },
  [`GET ${policies}/{policy_id}`]: {
    ...{ id: 'getPolicy', tag: 'Webhooks', summary: 'Read a policy' },
    result: policy,
  },
  [`PUT ${policies}/{policy_id}`]: {
    ...{ id: 'updatePolicy', tag: 'Webhooks', summary: 'Change a policy' },
    description: 'A field that is left out stays as it is; `filters` and `mechanisms` are replaced as a whole.',
    body: { enabled: false },
    result: { ...policy, enabled: false },
  },
  [`DELETE ${policies}/{policy_id}`]: {
    ...{ id: 'deletePolicy', tag: 'Webhooks', summary: 'Remove a policy' },
    result: { id: policy.id },
  },
  [`GET ${deliveries}`]: {
    ...{ id: 'listDeliveries', tag: 'Webhooks', summary: 'What became of notifications' },
    description: 'The newest first. `cursor` of `result_info` leads to the next page, where there is one.',
    result: [delivery],
    info: { count: 1, cursor: delivery.id },
  },
  [`POST ${deliveries}/{delivery_id}/resend`]: {
    ...{ id: 'resendDelivery', tag: 'Webhooks', summary: 'Send one again' },
    description: 'With the same `webhook-id`. One that waits for its next attempt is tried at once.',
    result: { ...delivery, state: 'pending', next_attempt_at: delivery.created_at },
  },
  [`GET ${accounts}`]: {
    ...{ id: 'listAccounts', tag: 'Accounts and tokens', summary: 'List the accounts that you may use' },
    result: [accountExample],
    info: onePage,
  },
  [`POST ${accounts}`]: {
    ...{ id: 'createAccount', tag: 'Accounts and tokens', summary: 'Create an account' },
    description:
      'With `email`, a key for X-Auth-Email and X-Auth-Key is made, and shown this once. It never expires and may do all in the account: only a token that has both rights in all accounts, and no expiry, can make one.',
    body: { name: accountExample.name },
    result: accountExample,
  },
  [`GET ${account}`]: {
    ...{ id: 'getAccount', tag: 'Accounts and tokens', summary: 'Read an account' },
    result: accountExample,
  },
  [`GET ${account}/tokens`]: {
    ...{ id: 'listTokens', tag: 'Accounts and tokens', summary: 'List tokens' },
    result: [token],
    info: onePage,
  },
  [`POST ${account}/tokens`]: {
    ...{ id: 'createToken', tag: 'Accounts and tokens', summary: 'Create a token' },
    description:
      'Its text is shown this once. A token can give no rights, in no more accounts and for no longer, than it has itself.',
    body: { name: token.name, scopes: token.scopes },
    result: { ...token, value: tokenText },
  },
  [`DELETE ${account}/tokens/{token_id}`]: {
    ...{ id: 'revokeToken', tag: 'Accounts and tokens', summary: 'Revoke a token' },
    result: { id: token.id },
  },
  ['GET /client/v4/user/tokens/verify']: {
    ...{ id: 'verifyToken', tag: 'Accounts and tokens', summary: 'Ask whether the token is valid' },
    result: { id: token.id, status: 'active' },
  },
  ['GET /client/v4/accounts/{account_id}/stream/live_inputs/{input_id}/preview.flv']: {
    ...{ id: 'watchLiveInput', tag: 'Live inputs', summary: 'Watch what arrives at a live input' },
    description:
      'FLV over HTTP: metadata, sequence headers, the newest key frame, then everything as it arrives, untouched (Enhanced RTMP too), for as long as the broadcast goes on. A viewer who is too slow is taken forward to a key frame. Four at a time for each live input. 404 with code 11404: nothing is live.',
    answer: 'FLV…',
  },
  ['POST /client/v4/user/sign_in_links']: {
    ...{
      id: 'createSignInLink',
      tag: 'Accounts and tokens',
      summary: 'Make a link that signs in on the dashboard, once',
    },
    description:
      'Whoever opens it (below the address of the server, in a browser) is signed in with the rights of the token that made it, for as long as that token is valid. It works once, and for an hour.',
    writes: false,
    result: {
      path: '/#/sign-in?once=Vx3…',
      url: 'http://localhost:8080/#/sign-in?once=Vx3…',
      expires_on: '2026-01-02T04:04:05.678Z',
    },
  },
  ['GET /{input_uid}/lifecycle']: {
    ...{ id: 'getLifecycle', tag: 'Server', summary: 'Ask whether a live input is live' },
    description: 'As players ask it of Cloudflare: without a token.',
    answer: { isInput: true, videoUID: null, live: true },
  },
  ['GET /healthz']: {
    id: 'isHealthy',
    tag: 'Server',
    summary: 'The process serves requests',
    answer: { status: 'ok' },
  },
  ['GET /readyz']: {
    id: 'isReady',
    tag: 'Server',
    summary: 'All that requests need is up, and the server does not stop',
    answer: { status: 'ready' },
    otherAnswers: { 503: { status: 'starting or stopping' } },
  },
  ['GET /metrics']: {
    id: 'getMetrics',
    tag: 'Server',
    summary: 'Figures for Prometheus, which name nobody',
    answer: metrics,
  },
}
