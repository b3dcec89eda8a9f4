/** What the description of the API shows: answers and bodies as they are. A test holds each against its schema. */

const at = '2026-01-02T03:04:05.678Z'
const stamp = '2026-01-02T03:04:05.678000Z'
const inputId = 'cfea8e17547acc0520486e228441fcff'
const streamKey = `4cc0b7d2a5e94f1f8d3c6b2a1e0f9d8ck${inputId}`

const inputStatus = {
  current: {
    ingestProtocol: 'rtmp',
    reason: 'connected',
    state: 'connected',
    statusEnteredAt: at,
    statusLastSeen: '2026-01-02T03:34:05.678Z',
  },
  history: [
    {
      ingestProtocol: 'rtmp',
      reason: 'client_disconnect',
      state: 'disconnected',
      statusEnteredAt: '2026-01-01T20:00:00.000Z',
    },
  ],
}

export const input = {
  uid: inputId,
  rtmps: { url: 'rtmps://live.example.com:1936/live/', streamKey },
  rtmp: { url: 'rtmp://live.example.com:1935/live/', streamKey },
  created: stamp,
  modified: stamp,
  meta: { name: 'test stream 1' },
  deleteRecordingAfterDays: null,
  preferLowLatency: false,
  recording: { mode: 'off', requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
  status: null,
  enabled: true,
}

export const liveInput = {
  ...input,
  status: inputStatus,
  health: {
    bitrateKbps: 6_128,
    bytesReceived: 1_378_800_000,
    connectedAt: at,
    video: {
      codec: 'avc1',
      profile: 'High',
      width: 1920,
      height: 1080,
      frameRate: 30,
      keyframeIntervalMs: 2_000,
      bFrames: true,
    },
    audio: { codec: 'mp4a', sampleRate: 48_000, channels: 2 },
    uploadRatio: 1,
    warnings: [],
  },
}

export const listedInput = {
  uid: input.uid,
  id: input.uid,
  created: input.created,
  modified: input.modified,
  meta: input.meta,
  deleteRecordingAfterDays: null,
  enabled: true,
}

export const output = {
  uid: '4ca7bd4d9c515887b80289d5c33cf011',
  url: 'rtmp://a.rtmp.youtube.com/live2',
  streamKey: 'uzya-f19y-g2g9-a2ee-51j2',
  enabled: true,
  status: null,
}

export const failingOutput = {
  ...output,
  status: {
    current: {
      ingestProtocol: 'rtmp',
      reason: 'publish_denied',
      state: 'error',
      statusEnteredAt: at,
      nextAttemptAt: '2026-01-02T03:05:05.678Z',
      statusLastSeen: at,
    },
    history: [{ ingestProtocol: 'rtmp', reason: 'publishing', state: 'connecting', statusEnteredAt: at }],
  },
  health: {
    bitrateKbps: 0,
    bytesSent: 0,
    messagesSent: 0,
    droppedMessages: 0,
    dropped: { lag: 0, overtaken: 0, late: 0 },
    droppedMs: 0,
    lagMs: 0,
    attempts: 1,
    reconnects: 0,
    lastError: {
      code: 'publish_denied',
      message: 'The destination refused the stream key or the login. Check the key, and whether it has expired.',
      at,
    },
  },
}

export const destinationTest = {
  ok: false,
  steps: [
    { name: 'url', ok: true, durationMs: 0 },
    { name: 'resolve', ok: false, durationMs: 12, code: 'dns_failed', detail: 'The host name could not be resolved.' },
  ],
}

/** An event stream is text; each event ends with an empty line. */
export const events = `id: 9f8e7d6c-41
event: input.status
data: ${JSON.stringify({ accountId: '0123456789abcdef0123456789abcdef', inputId, status: inputStatus })}

event: totals
data: ${JSON.stringify({ at, inputs: [{ inputId, bitrateKbps: 6_128, outputs: 3, outputsUp: 3, egressKbps: 18_384 }] })}

`

export const account = {
  id: '0123456789abcdef0123456789abcdef',
  name: 'Second studio',
  type: 'standard',
  created_on: at,
}
export const token = {
  id: '3d9c1f0e8b7a46d5a4c3b2e1f0d9c8b7',
  name: 'Playout',
  kind: 'token',
  status: 'active',
  scopes: ['Stream Write'],
  all_accounts: false,
  issued_on: at,
  last_used_on: '2026-01-02T09:00:00.000Z',
}
/** Not a token's real length, so that nobody's search for leaked secrets finds it. */
export const tokenText = 'sct_…'

export const webhook = {
  id: 'b115d5ec15c641ee85b6c7b1f2d3a4e5',
  name: 'Control room',
  url: 'https://example.com/hooks/live',
  type: 'generic',
  created_at: at,
  last_success: '2026-01-02T09:00:00.000Z',
}
export const webhookBody = { name: webhook.name, url: webhook.url, secret: 'a-secret-of-yours' }
const outcome = { at: '2026-01-02T09:00:00.000Z', status: 204, duration_ms: 85 }
export const webhookTest = { delivered: true, outcome }

export const policyBody = {
  name: 'On air',
  alert_type: 'stream_live_notifications',
  enabled: true,
  mechanisms: { webhooks: [{ id: webhook.id }] },
  filters: { input_id: [inputId], event_type: ['live_input.connected', 'live_input.disconnected', 'output.error'] },
}
export const policy = {
  ...policyBody,
  id: '0da2b59ef118439d8097bdfb215203c9',
  description: '',
  created: stamp,
  modified: stamp,
}

export const delivery = {
  id: '0mjb8wv4kdp1a2b3c4d5e6f708192a3',
  policy_id: policy.id,
  destination_id: webhook.id,
  input_id: inputId,
  event_type: 'live_input.connected',
  state: 'delivered',
  attempts: 1,
  created_at: at,
  out_of_order: false,
  last_outcome: outcome,
  payload: {
    name: policy.name,
    text: `Notification type: Stream Live Input\nInput ID: ${inputId}\nEvent type: live_input.connected\nUpdated at: ${at}`,
    data: {
      notification_name: 'Stream Live Input',
      input_id: inputId,
      event_type: 'live_input.connected',
      updated_at: at,
    },
    ts: 1_767_323_045,
    account_id: account.id,
    policy_id: policy.id,
    policy_name: policy.name,
    alert_type: 'stream_live_notifications',
  },
}

export const metrics = `# HELP stream_connect_live_inputs Live inputs that are live or held.
# TYPE stream_connect_live_inputs gauge
stream_connect_live_inputs 1
`

/** Of lists that come page by page. */
export const onePage = { page: 1, per_page: 50, count: 1, total_count: 1, total_pages: 1 }
