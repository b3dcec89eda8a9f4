import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitRows } from '../../scripts/limits.ts'
import { shownValueOf } from '../../scripts/limits-page.ts'
import { constantsIn } from '../../scripts/source-constants.ts'
import { filesOfRepository } from './repository.ts'
import { hasTest } from './tests-by-title.ts'

/** docs/limits.md itself is held against the code by docs.test.ts: its values are read from there. */

const rows = limitRows.flatMap((section) => section.rows)

test('every limit has its value in the code', () => {
  for (const row of rows) assert.match(shownValueOf(row), /^\d/, row.limit)
})

test('every limit has a test, which is there', () => {
  const missing = rows.filter(({ test: [file, title] }) => !hasTest(file, title))
  assert.deepEqual(
    missing.map(({ test: [file, title] }) => `${file}: ${title}`),
    [],
  )
})

/** What looks like a limit and is none: sizes of the protocol, bounds of what is looked at in a codec's header, habits of ours. */
const noLimits = [
  'src/rtmp/audio-format.ts#sampleRateMax',
  'src/rtmp/av1-configuration.ts#obusMax',
  'src/rtmp/bit-reader.ts#nalBytesMax',
  'src/rtmp/chunk-header.ts#messageHeaderBytesMax',
  'src/rtmp/chunk-reader.ts#headerBytesMax',
  'src/rtmp/chunk-reader.ts#keptBytesMax',
  'src/rtmp/flv-writer.ts#flvBodyBytesMax',
  'src/rtmp/hevc-configuration.ts#longTermMax',
  'src/rtmp/hevc-configuration.ts#nalsMax',
  'src/rtmp/hevc-configuration.ts#picturesMax',
  'src/rtmp/hevc-configuration.ts#shortTermSetsMax',
  'src/rtmp/key-frame.ts#nalsBeforePictureMax',
  'src/rtmp/refusal.ts#wordsReadMax',
  'src/rtmp/sequence-header.ts#configurationBytesMax',
  'src/rtmp/stream-key-search.ts#candidatesMax',
  'src/rtmp/video-format.ts#pixelsMax',
  'src/live/relay-path.ts#textLengthMax',
]

test('every constant that bounds what a peer may do is in the table', () => {
  const named = new Set(rows.flatMap(({ of }) => of).map((name) => name.replace(/\.\w+$/, '')))
  const guarded = filesOfRepository().filter(
    (path) =>
      /^src\/rtmp\/[\w-]+\.ts$/.test(path) ||
      /^src\/live\/(?:ingest-server|doorkeeper|failed-keys|relay-path|media-headers|output-connection)\.ts$/.test(path),
  )
  const missing = guarded.flatMap((path) =>
    [...constantsIn(path).keys()]
      .filter((name) => /(?:Max|Min|Rate|Limits)$/.test(name))
      .map((name) => `${path}#${name}`)
      .filter((name) => !named.has(name) && !noLimits.includes(name)),
  )
  assert.deepEqual(missing, [])
  const gone = noLimits.filter((name) => !constantsIn(name.split('#')[0]!).has(name.split('#')[1]!))
  assert.deepEqual(gone, [])
})
