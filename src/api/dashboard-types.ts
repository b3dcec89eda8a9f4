/**
 * What the dashboard's front gets from the server beyond the API. Types alone and no imports, so that the front can `import type` them.
 * Each answer is in the envelope of the API: `{result, success, errors, messages}`; `result` is what stands here.
 */

/** What may be done in an account. `write` includes reading; `manage`: tokens. */
export type DashboardRight = 'read' | 'write' | 'manage'

/** POST /dashboard/session, with one of the two. */
export type SignIn = { readonly token: string } | { readonly once: string }

/** GET and POST /dashboard/session. 401 with code 11401: nobody is signed in. */
export type DashboardSession = {
  /** The token that was signed in with; its text is known to nobody here. */
  readonly token: {
    readonly id: string
    readonly name: string
    /** ISO 8601. The session ends with it. */
    readonly expiresOn?: string
  }
  /** Those that the token may use, the first one first. */
  readonly accounts: readonly {
    readonly id: string
    readonly name: string
    readonly rights: readonly DashboardRight[]
  }[]
  /** Rights in all accounts, those to come too. */
  readonly allAccounts: readonly DashboardRight[]
  /** Without a request and without an open event stream for so long, the session ends. */
  readonly idleSeconds: number
}

/** GET /dashboard/presets: what a person picks a destination from, in this order. */
export type DestinationPreset = {
  readonly id: string
  /** Of the platform, in plain text. */
  readonly name: string
  /** Where the platform sends each person to a url of their own, `example` shows its form, and there is none here. */
  readonly urls: readonly PresetUrl[]
  readonly example: string
  /** Where on the platform the key stands (and the url, where each person has another). */
  readonly keyHelp: string
  /** The page on which it stands; opened in a tab of its own. */
  readonly keyPage?: string
  /** FourCCs of the video codecs that the platform is known to take; undefined where it depends on the server. */
  readonly videoCodecs?: readonly string[]
  /** What else a person should know before going live, one sentence each. */
  readonly notes: readonly string[]
}

export type PresetUrl = {
  readonly protocol: 'rtmps' | 'rtmp'
  readonly url: string
  /** To be sent to beside the main one, never alone. */
  readonly backup: boolean
}

/** POST /dashboard/lint with `{url, streamKey}`: what saving this destination would say, before anything is saved or dialled. */
export type DestinationLint = {
  /** Saving would be refused because of these. */
  readonly refused: readonly LintFinding[]
  /** It would be saved; this looks wrong. */
  readonly advice: readonly LintFinding[]
  /** Whose host it is, where that is known: the id and name of a platform. */
  readonly platform?: { readonly id: string; readonly name: string }
}

export type LintFinding = { readonly field: string; readonly message: string }

/** GET /dashboard/bitrates/<account>/<live input>: what came in over the last ten minutes. */
export type BitratesOfInput = {
  /** Between two figures, milliseconds. */
  readonly stepMs: number
  /** Kilobits per second, oldest first, the last one of now; null: nothing was live. Empty: nothing in ten minutes. */
  readonly kbps: readonly (number | null)[]
}

/** GET /dashboard/server */
export type ServerFacts = {
  readonly version: string
  readonly nodeVersion: string
  /** ISO 8601 */
  readonly startedAt: string
  readonly uptimeSeconds: number
  /** Absent: the listener is off. */
  readonly addresses: {
    readonly rtmp?: string
    readonly rtmps?: string
    readonly http?: string
    readonly https?: string
  }
  /** Of RTMPS and HTTPS; absent when both are off. */
  readonly certificate?: {
    /** Encoders and browsers must be told to trust it. */
    readonly selfSigned: boolean
    readonly subject: string
    /** ISO 8601 */
    readonly validTo: string
    /** SHA-256, `AB:CD:…`. */
    readonly fingerprint: string
  }
  /** In force now. Absent where a server does not know them. */
  readonly limits: {
    readonly liveInputsPerAccount: number
    readonly outputsPerLiveInput: number
    /** API requests per token in five minutes; 0: no limit. The dashboard is not counted so. */
    readonly requestsPerToken: number
    readonly previewsPerLiveInput: number
    readonly previewsInTotal: number
    /** The longest that an output can ask for (`resumeSeconds`). */
    readonly resumeSeconds: number
    readonly reconnectWindowSeconds?: number
    /** Above it, the encoder gets a warning. */
    readonly recommendedBitrateKbps?: number
    /** Above it, reading is paced. */
    readonly ingestBitrateKbps?: number
    /** How far an output may fall behind before it jumps to a key frame. */
    readonly lagMs?: number
    /** Media time that is kept of a broadcast. */
    readonly bufferMs?: number
  }
}
