import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Scenes } from './stage.ts'

const dist = join(import.meta.dirname, '../../web/dist')
/** gzip. A page that has to be read in a field, over a phone. The build (scripts/build-dashboard.mjs) tells the sizes with these limits. */
const initialScriptBytesMax = 250_000
const initialStyleBytesMax = 60_000

type Chunk = {
  readonly file: string
  readonly isEntry?: boolean
  readonly imports?: readonly string[]
  readonly dynamicImports?: readonly string[]
  readonly css?: readonly string[]
}

export const bundleScenes: Scenes = () => {
  test('what the first page loads is small; player and charts come when they are needed', async (t) => {
    const manifest = JSON.parse(await readFile(join(dist, '.vite/manifest.json'), 'utf8')) as Record<string, Chunk>
    const entry = Object.keys(manifest).find((name) => manifest[name]!.isEntry)
    assert.ok(entry)
    const initial = new Set<string>()
    const visit = (name: string) => {
      if (initial.has(name)) return
      initial.add(name)
      for (const next of manifest[name]!.imports ?? []) visit(next)
    }
    visit(entry)
    const sizeOf = async (files: readonly string[]) =>
      (await Promise.all(files.map((file) => readFile(join(dist, file))))).reduce(
        (sum, bytes) => sum + gzipSync(bytes).length,
        0,
      )
    const chunks = [...initial].map((name) => manifest[name]!)
    const scripts = await sizeOf(chunks.map(({ file }) => file))
    const styles = await sizeOf([...new Set(chunks.flatMap(({ css = [] }) => css))])
    t.diagnostic(`first load: ${scripts} bytes of JavaScript, ${styles} of CSS, gzip`)
    assert.ok(scripts < initialScriptBytesMax, `${scripts} bytes of JavaScript`)
    assert.ok(styles < initialStyleBytesMax, `${styles} bytes of CSS`)

    const later = Object.keys(manifest).filter((name) => !initial.has(name))
    for (const part of ['preview-player', 'BitrateGraph', 'InputPage', 'SettingsPage'])
      assert.ok(
        later.some((name) => name.includes(part) || manifest[name]!.file.includes(part)),
        `${part} is loaded later`,
      )
  })
}
