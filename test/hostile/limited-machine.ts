import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The server on a machine that lacks something, as `startServer({ main })`: a small disk of its own under DATA_DIR (TEST_DISK_KB), few
 * file descriptors (TEST_FILES_MAX). It becomes the server: same process id, same pipes.
 */
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const { TEST_DISK_KB: diskKb, TEST_FILES_MAX: filesMax, STREAM_CONNECT_DATA_DIR: dataDir = '' } = process.env

const environment = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
)
const server = [process.execPath, ...process.execArgv, mainFile]
if (diskKb !== undefined) {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const mount = `mount -t tmpfs -o size=${Number(diskKb)}k,mode=700 tmpfs "$0" && exec "$@"`
  become('/usr/bin/unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', mount, dataDir, ...server])
} else become('/bin/sh', ['-c', `ulimit -n ${Number(filesMax)} && exec "$@"`, 'sh', ...server])

function become(program: string, args: readonly string[]): never {
  return process.execve!(program, [program, ...args], environment)
}
