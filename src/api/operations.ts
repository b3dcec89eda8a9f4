/** What the description of the API says in words about each operation. What it takes and answers is in the schemas that validate. */

export type Operation = {
  readonly id: string
  readonly tag: Tag
  /** One line. */
  readonly summary: string
  readonly description?: string
  /** Of the request's body, and of the answer's `result`. */
  readonly body?: unknown
  readonly result?: unknown
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

const input = {
  uid: 'cfea8e17547acc0520486e228441fcff',
  rtmps: { url: 'rtmps://live.example.com:1936/live/', streamKey: '4cc0…kcfea8e17547acc0520486e228441fcff' },
  rtmp: { url: 'rtmp://live.example.com:1935/live/', streamKey: '4cc0…kcfea8e17547acc0520486e228441fcff' },
  created: '2026-01-02T03:04:05.678000Z',
  modified: '2026-01-02T03:04:05.678000Z',
  meta: { name: 'test stream 1' },
  deleteRecordingAfterDays: null,
  preferLowLatency: false,
  recording: { mode: 'off', requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
  status: null,
  enabled: true,
}
const listed = {
  uid: input.uid,
  id: input.uid,
  created: input.created,
  modified: input.modified,
  meta: input.meta,
  deleteRecordingAfterDays: null,
  enabled: true,
}
const output = {
  uid: '4ca7bd4d9c515887b80289d5c33cf011',
  url: 'rtmp://a.rtmp.youtube.com/live2',
  streamKey: 'uzya-f19y-g2g9-a2ee-51j2',
  enabled: true,
  status: null,
}

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
    result: [listed],
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
    result: input,
  },
  [`PUT ${inputs}/{input_id}`]: {
    ...{ id: 'updateLiveInput', tag: 'Live inputs', summary: 'Change a live input' },
    description:
      'A field that is left out stays as it is, `null` puts its default back, and `recording` is merged name by name. `enabled: false` cuts the encoder.',
    body: { enabled: false },
    result: { ...input, enabled: false },
  },
  [`DELETE ${inputs}/{input_id}`]: {
    ...{ id: 'deleteLiveInput', tag: 'Live inputs', summary: 'Delete a live input and its outputs' },
    description: 'Who sends to it is cut. The answer is `{}`, without an envelope.',
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
    result: [output],
  },
  [`POST ${outputs}`]: {
    ...{ id: 'createOutput', tag: 'Outputs', summary: 'Add an output' },
    description:
      'At any time, a broadcast included: it joins at the next key frame. What looks wrong about url and key, though it may be meant, is said in `messages`.',
    body: { url: output.url, streamKey: output.streamKey },
    result: output,
  },
  [`GET ${outputs}/{output_id}`]: { id: 'getOutput', tag: 'Outputs', summary: 'Read an output', result: output },
  [`PUT ${outputs}/{output_id}`]: {
    ...{ id: 'updateOutput', tag: 'Outputs', summary: 'Change an output' },
    description: 'Cloudflare changes `enabled` alone; here all of it can be changed.',
    body: { enabled: false },
    result: { ...output, enabled: false },
  },
  [`DELETE ${outputs}/{output_id}`]: {
    ...{ id: 'deleteOutput', tag: 'Outputs', summary: 'Remove an output' },
    description: 'The destination is disconnected. The answer is `{}`, without an envelope.',
  },
  [`POST ${outputs}/{output_id}/retry`]: {
    ...{ id: 'retryOutput', tag: 'Outputs', summary: 'Connect again now' },
    description: 'Ends the wait of an output that is reconnecting or in error.',
    result: { retried: true },
  },
  [`POST ${outputs}/test`]: {
    ...{ id: 'testOutput', tag: 'Outputs', summary: 'Try a destination out' },
    description: 'Connects as far as one can without publishing, and says how far it got. Nothing is saved.',
    body: { url: output.url, streamKey: output.streamKey },
    result: {
      ok: false,
      steps: [
        { name: 'url', ok: true, durationMs: 0 },
        {
          name: 'resolve',
          ok: false,
          durationMs: 12,
          code: 'dns_failed',
          detail: 'The host name could not be resolved.',
        },
      ],
    },
  },
  [`GET ${account}/stream/events`]: {
    ...{ id: 'listenToEvents', tag: 'Events', summary: 'Listen to what happens' },
    description:
      'Server-sent events. `input.status` and `output.status`: a change of state, with the whole status. `figures`, once a second: those of each live input that `inputs` names (ids, joined by commas). `totals`, once a second, where it names none: all live inputs that are live. `reset`: what was missed is not known any more, list again. Send the id that you saw last as Last-Event-ID, as browsers do by themselves. At most 100 listeners for each account.',
    headers: [{ name: 'Last-Event-ID', description: 'What came after it is told first.' }],
  },
  [`GET ${webhooks}`]: { id: 'listWebhooks', tag: 'Webhooks', summary: 'List the destinations of webhooks' },
  [`POST ${webhooks}`]: {
    ...{ id: 'createWebhook', tag: 'Webhooks', summary: 'Add a destination' },
    description: 'A test notification is sent, and must be answered with 2xx.',
    body: { name: 'Control room', url: 'https://example.com/hooks/live', secret: 'a secret of yours' },
  },
  [`GET ${webhooks}/{webhook_id}`]: { id: 'getWebhook', tag: 'Webhooks', summary: 'Read a destination' },
  [`PUT ${webhooks}/{webhook_id}`]: { id: 'updateWebhook', tag: 'Webhooks', summary: 'Change a destination' },
  [`DELETE ${webhooks}/{webhook_id}`]: { id: 'deleteWebhook', tag: 'Webhooks', summary: 'Remove a destination' },
  [`POST ${webhooks}/{webhook_id}/test`]: { id: 'testWebhook', tag: 'Webhooks', summary: 'Send a test notification' },
  [`GET ${policies}`]: { id: 'listPolicies', tag: 'Webhooks', summary: 'List policies' },
  [`POST ${policies}`]: {
    ...{ id: 'createPolicy', tag: 'Webhooks', summary: 'Say which events go where' },
  },
  [`GET ${policies}/{policy_id}`]: { id: 'getPolicy', tag: 'Webhooks', summary: 'Read a policy' },
  [`PUT ${policies}/{policy_id}`]: { id: 'updatePolicy', tag: 'Webhooks', summary: 'Change a policy' },
  [`DELETE ${policies}/{policy_id}`]: { id: 'deletePolicy', tag: 'Webhooks', summary: 'Remove a policy' },
  [`GET ${deliveries}`]: { id: 'listDeliveries', tag: 'Webhooks', summary: 'What became of notifications' },
  [`POST ${deliveries}/{delivery_id}/resend`]: { id: 'resendDelivery', tag: 'Webhooks', summary: 'Send one again' },
  [`GET ${accounts}`]: {
    id: 'listAccounts',
    tag: 'Accounts and tokens',
    summary: 'List the accounts that you may use',
  },
  [`POST ${accounts}`]: {
    ...{ id: 'createAccount', tag: 'Accounts and tokens', summary: 'Create an account' },
    description: 'With `email`, a key for X-Auth-Email and X-Auth-Key is made, and shown this once.',
    body: { name: 'Second studio' },
  },
  [`GET ${account}`]: { id: 'getAccount', tag: 'Accounts and tokens', summary: 'Read an account' },
  [`GET ${account}/tokens`]: { id: 'listTokens', tag: 'Accounts and tokens', summary: 'List tokens' },
  [`POST ${account}/tokens`]: {
    ...{ id: 'createToken', tag: 'Accounts and tokens', summary: 'Create a token' },
    description: 'Its text is shown this once.',
    body: { name: 'Playout', scopes: ['Stream Write'] },
  },
  [`DELETE ${account}/tokens/{token_id}`]: {
    ...{ id: 'revokeToken', tag: 'Accounts and tokens', summary: 'Revoke a token' },
  },
  ['GET /client/v4/user/tokens/verify']: {
    ...{ id: 'verifyToken', tag: 'Accounts and tokens', summary: 'Ask whether the token is valid' },
  },
  ['GET /{input_uid}/lifecycle']: {
    ...{ id: 'getLifecycle', tag: 'Server', summary: 'Ask whether a live input is live' },
    description: 'As players ask it of Cloudflare: without a token.',
  },
  ['GET /healthz']: { id: 'isHealthy', tag: 'Server', summary: 'The process serves requests' },
  ['GET /readyz']: {
    id: 'isReady',
    tag: 'Server',
    summary: 'All that requests need is up, and the server does not stop',
  },
  ['GET /metrics']: { id: 'getMetrics', tag: 'Server', summary: 'Figures for Prometheus, which name nobody' },
}
