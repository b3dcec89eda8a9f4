import { parentPort, workerData } from 'node:worker_threads'
import { PortBus } from '../bus/port-bus.ts'
import { systemClock } from '../clock.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import { type Resolve, unlessAborted } from '../destination/look-up.ts'
import { OwnAddresses } from '../destination/own-addresses.ts'
import type { Listening } from '../live/ingest-server.ts'
import { makeMedia } from '../live/media-parts.ts'
import { type CallsOfMain, type CallsOfThread, receiveWish, type ThreadData } from './calls.ts'
import { figuresTeller } from './thread-figures.ts'
import { ThreadLink } from './thread-link.ts'
import { ToldLog } from './told-log.ts'

/** A thread that carries media: the engine and its listeners, told and heard over the link. Begun by MediaThreads. */
const { index, busPort, settings, logLevel } = workerData as ThreadData
const port = parentPort!
const log = new ToldLog((record) => link.tell('log', record), logLevel)
// As in the main thread: a mistake of ours ends the session that it happened in, and not everybody else's broadcast.
process.on('uncaughtException', (error) =>
  log.error({ err: error, code: 'internal_error' }, 'uncaught exception: a mistake of ours'),
)
process.on('unhandledRejection', (error) =>
  log.error({ err: error, code: 'internal_error' }, 'unhandled rejection: a mistake of ours'),
)

const bus = new PortBus(busPort, { onError: (error) => log.error({ err: error }, 'a receiver of the bus failed') })
const listeners: { readonly port: number; readonly listening: Listening }[] = []
const link: ThreadLink<CallsOfMain, CallsOfThread> = new ThreadLink<CallsOfMain, CallsOfThread>(port, {
  adopt: ({ wish, lastErrors }) => engine.adopt(receiveWish(wish), lastErrors),
  update: (wish) => engine.update(receiveWish(wish)),
  release: (input) => engine.release(input),
  remove: ({ input, reason, withinMs }) => engine.remove(input, reason, withinMs),
  retryOutput: ({ input, output }) => engine.retryOutput(input, output),
  takeRelay: (end) => engine.takeRelay(end),
  async listen({ host, port, tls }) {
    listeners.push({ port, listening: await ingest.listen(host, port, tls, true) })
  },
  renewCertificate({ port, cert, key }) {
    for (const one of listeners) if (one.port === port) one.listening.setSecureContext({ cert, key })
  },
  stopListening: () => ingest.stopListening(),
  close() {
    ingest.close()
    engine.close()
    void bus.close()
    port.close()
  },
})

const resolve: Resolve = (host, signal) => unlessAborted(link.ask('resolve', host), signal)
const own = new OwnAddresses(settings.publicHost, { resolve, clock: systemClock })
const { engine, ingest, pump } = makeMedia(settings, {
  clock: systemClock,
  log,
  bus,
  resolve,
  policy: new AddressPolicy(settings.destinationAllow, own),
  reports: {
    inputChanged: (account, input, state, returning) => link.tell('inputChanged', { account, input, state, returning }),
    outputChanged: (account, input, output, state, lastError) =>
      link.tell('outputChanged', { account, input, output, state, lastError }),
    figures: (figures) => link.tell('figures', figures),
    carried: (carried) => link.tell('carried', carried),
    find: (input, presentedKey) => link.ask('find', { input, presentedKey }),
    relayEnded: (id) => link.tell('relayEnded', id),
    // With the figures of the live inputs: whoever gets them is woken once.
    secondTold: figuresTeller(index, bus, () => pump),
  },
})
