import { MessageChannel } from 'node:worker_threads'
import { InProcessBus } from '../../src/bus/in-process-bus.ts'
import { PortBus, serveBus } from '../../src/bus/port-bus.ts'
import { busContract, type OpenedBus } from './bus-contract.ts'
import { ManualClock } from './manual-clock.ts'

type Side = 'hub' | 'thread-1' | 'thread-2'

/** A hub with two remote buses, all behind ports of this thread, of which two sides are tried. */
async function openSides(nearSide: Side, farSide: Side): Promise<OpenedBus> {
  const clock = new ManualClock()
  const errors: { error: unknown; subject: string }[] = []
  const optionsOf = (side: Side) => ({
    clock,
    onError: (error: unknown, subject: string) => {
      errors.push({ error: side === farSide ? error : new Error('told to the wrong side', { cause: error }), subject })
    },
  })
  const hub = new InProcessBus(optionsOf('hub'))
  const remote = (side: Side) => {
    const { port1, port2 } = new MessageChannel()
    serveBus(hub, port1)
    return new PortBus(port2, optionsOf(side))
  }
  const sides = { hub, 'thread-1': remote('thread-1'), 'thread-2': remote('thread-2') }
  return {
    near: sides[nearSide],
    far: sides[farSide],
    clock,
    errors,
    async settle() {
      // To the hub, from there to the other side, and back.
      for (let round = 0; round < 3; round += 1) {
        await Promise.all([hub.flush(), sides['thread-1'].flush(), sides['thread-2'].flush()])
      }
    },
    async dispose() {
      await Promise.all([sides['thread-1'].close(), sides['thread-2'].close()])
      await hub.close()
    },
  }
}

busContract('in one process', () => openSides('hub', 'hub'))
busContract('from a thread to the hub', () => openSides('thread-1', 'hub'))
busContract('from the hub to a thread', () => openSides('hub', 'thread-1'))
busContract('from a thread to itself', () => openSides('thread-1', 'thread-1'))
busContract('from a thread to another', () => openSides('thread-1', 'thread-2'))
