/** The works that servers are compared at. Bitrates are of video and audio together. */
export type Work = {
  readonly id: string
  readonly title: string
  readonly inputs: number
  readonly outputs: number
  readonly kbps: number
  readonly fps: number
  readonly tls: boolean
  /** Outputs whose destination stops reading after the start. */
  readonly stalled: number
}

const plain = { fps: 60, tls: false, stalled: 0 }

export const works: readonly Work[] = [
  { ...plain, id: 'A', title: '1 input x 50 RTMP outputs, 12,000 kbps', inputs: 1, outputs: 50, kbps: 12_000 },
  {
    ...plain,
    id: 'B',
    title: '1 input x 50 RTMPS outputs, 12,000 kbps',
    inputs: 1,
    outputs: 50,
    kbps: 12_000,
    tls: true,
  },
  { ...plain, id: 'C', title: '200 inputs x 1 output, 3,000 kbps', inputs: 200, outputs: 1, kbps: 3_000, fps: 30 },
  { ...plain, id: 'D', title: '20 inputs x 10 outputs, 6,000 kbps', inputs: 20, outputs: 10, kbps: 6_000 },
  { ...plain, id: 'E', title: '1,000 inputs x 1 output, 300 kbps', inputs: 1000, outputs: 1, kbps: 300, fps: 15 },
  {
    ...plain,
    id: 'F',
    title: '1 input x 50 outputs, 10 of them stalled',
    inputs: 1,
    outputs: 50,
    kbps: 12_000,
    stalled: 10,
  },
  { ...plain, id: 'G', title: '40 inputs x 4 outputs, 6,000 kbps', inputs: 40, outputs: 4, kbps: 6_000 },
]
