import { type Carried, type DropReason, dropReasons } from '../model/status.ts'

/**
 * What one thread has carried and not told yet. Inputs and outputs add what is new since they added last, once a second and when they end,
 * so that nothing is told twice or never, however often they come and go. Owned by the engine.
 */
export class CarriedCounter {
  bytesReceived = 0
  bytesSent = 0
  readonly dropped: Record<DropReason, number> = { lag: 0, overtaken: 0, late: 0 }

  /** @returns what there is, and begins again; undefined where there is nothing. */
  take(): Carried | undefined {
    const { bytesReceived, bytesSent } = this
    const dropped = { ...this.dropped }
    if (bytesReceived === 0 && bytesSent === 0 && dropReasons.every((reason) => dropped[reason] === 0)) return undefined
    this.bytesReceived = this.bytesSent = 0
    for (const reason of dropReasons) this.dropped[reason] = 0
    return { bytesReceived, bytesSent, dropped }
  }
}
