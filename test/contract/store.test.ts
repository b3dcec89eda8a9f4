import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore } from '../../src/store/sqlite-store.ts'
import { ManualClock } from './manual-clock.ts'
import { storeContract } from './store-contract.ts'

storeContract('SQLite', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'stream-connect-store-'))
  const clock = new ManualClock()
  const open = () => openSqliteStore({ file: join(directory, 'server.sqlite'), clock })
  const store = await open()
  let current = store
  return {
    store,
    clock,
    async reopen() {
      await current.close()
      current = await open()
      return current
    },
    async dispose() {
      await current.close()
      await rm(directory, { recursive: true })
    },
  }
})
