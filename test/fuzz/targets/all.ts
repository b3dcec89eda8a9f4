import type { Target } from '../target.ts'
import { addressTargets } from './addresses.ts'
import { amfTargets } from './amf.ts'
import { chunkTargets } from './chunks.ts'
import { dialogueTargets } from './dialogues.ts'
import { liveTargets } from './live.ts'
import { mediaTargets } from './media.ts'

export const targets: readonly Target[] = [
  ...chunkTargets,
  ...amfTargets,
  ...mediaTargets,
  ...addressTargets,
  ...dialogueTargets,
  ...liveTargets,
]
