import { performance } from 'node:perf_hooks'
import type { Bus } from '../bus/bus.ts'
import type { Pump } from '../live/pump.ts'
import { mediaSubjects, type ThreadFigures } from '../model/status.ts'

/**
 * How this thread does, told on the bus: since it was told last.
 * @param index which of the media threads it is; 0 for the main one, where that carries media.
 */
export function figuresTeller(index: number, bus: Bus, pump: () => Pump): () => void {
  let before = performance.eventLoopUtilization()
  let restedMs = 0
  return () => {
    const now = performance.eventLoopUtilization()
    const { active, idle } = performance.eventLoopUtilization(now, before)
    const { delays, restedMs: restedMsNow } = pump()
    const figures: ThreadFigures = {
      thread: index,
      loopDelayP99Ms: delays.quantileMs(0.99),
      loopDelayMaxMs: delays.maxMs,
      busy: Math.max(0, active - (restedMsNow - restedMs)) / Math.max(1, active + idle),
    }
    before = now
    restedMs = restedMsNow
    delays.reset()
    bus.publish(mediaSubjects.thread(index), figures)
  }
}
