import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'

/** The server with a database that is soon full, as `startServer({ main })`: so many pages of 4,096 bytes (TEST_DATABASE_PAGES). */
const config = readConfig(process.env, [])
const app = await startApp(config, createLog(config), { databasePagesMax: Number(process.env['TEST_DATABASE_PAGES']) })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void app.close(2_000).finally(() => process.exit(0)))
