import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import type { Resolve } from '../../src/destination/dial.ts'
import { createLog } from '../../src/log.ts'

/**
 * The server with a look-up of its own, for `startServer({ hosts: { … } })`: the names that it is given, and ENOTFOUND for all
 * others. Nothing is asked of the system's resolver.
 */
const hosts = JSON.parse(process.env['TEST_HOSTS'] ?? '{}') as Record<string, string>

const resolve: Resolve = async (host) => {
  const address = hosts[host]
  if (address !== undefined) return [{ address, family: address.includes(':') ? 6 : 4 }]
  throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
}

const config = readConfig(process.env, [])
const app = await startApp(config, createLog(config), { resolve })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void app.close(2_000).finally(() => process.exit(0)))
