/** The works that servers are compared at. Bitrates are of video and audio together. */
export type Work = {
  readonly id: string
  readonly title: string
  readonly inputs: number
  /** Per input. */
  readonly outputs: number
  readonly kbps: number
  readonly fps: number
  /** AAC of 128 kbit/s, 47 messages a second, beside the video. */
  readonly audio: boolean
  /** RTMPS outputs; inputs are always plain. */
  readonly tls: boolean
  /** Outputs whose destination stops reading after the start. */
  readonly stalled: number
}

const plain = { outputs: 1, fps: 60, audio: true, tls: false, stalled: 0 }
const fanOut = { ...plain, inputs: 1, outputs: 50, kbps: 12_000 }

export const works = {
  A: { ...fanOut, id: 'A', title: '1 input x 50 RTMP outputs, 12,000 kbps' },
  B: { ...fanOut, id: 'B', title: '1 input x 50 RTMPS outputs, 12,000 kbps', tls: true },
  C: { ...plain, id: 'C', title: '200 inputs x 1 output, 3,000 kbps', inputs: 200, kbps: 3_000, fps: 30 },
  D: { ...plain, id: 'D', title: '20 inputs x 10 outputs, 6,000 kbps', inputs: 20, outputs: 10, kbps: 6_000 },
  /** Not measured once but searched: see capacity.ts. */
  E: { ...plain, id: 'E', title: 'up to 1,000 inputs x 1 output, 300 kbps', inputs: 1_000, kbps: 300, fps: 15 },
  F: { ...fanOut, id: 'F', title: '1 input x 50 RTMP outputs, 12,000 kbps, 10 of them stalled', stalled: 10 },
  G: { ...plain, id: 'G', title: '40 inputs x 4 outputs, 6,000 kbps', inputs: 40, outputs: 4, kbps: 6_000 },
} as const satisfies Record<string, Work>
export type WorkId = keyof typeof works
