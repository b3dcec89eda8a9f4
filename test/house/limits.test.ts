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

/** What looks like a limit and is none, or is told elsewhere, by the reason. */
const noLimits: Readonly<Record<string, readonly string[]>> = {
  'sizes of the protocol, and bounds of what is looked at in the header of a codec': [
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
  ],
  'sizes of host names (RFC 1035)': [
    'src/destination/destination-url.ts#hostLengthMax',
    'src/destination/destination-url.ts#labelLengthMax',
  ],
  'a field of a body or a query, within the limits of both; the description of the API names it': [
    'src/api/account-schemas.ts#nameLengthMax',
    'src/api/account-schemas.ts#emailLengthMax',
    'src/api/account-schemas.ts#perPageMax',
    'src/api/idempotency.ts#keyBytesMax',
    'src/api/listing.ts#searchLengthMax',
    'src/api/listing.ts#limitMax',
    'src/api/listing.ts#cursorLengthMax',
    'src/api/listing.ts#namePlaceLengthMax',
    'src/api/schemas.ts#creatorLengthMax',
    'src/api/schemas.ts#allowedOriginsMax',
    'src/api/schemas.ts#originLengthMax',
    'src/api/schemas.ts#windowSecondsMax',
    'src/api/schemas.ts#nameLengthMax',
    'src/api/schemas.ts#usernameLengthMax',
    'src/api/schemas.ts#passwordLengthMax',
    'src/api/session-routes.ts#secretLengthMax',
    'src/api/webhook-schemas.ts#nameLengthMax',
    'src/api/webhook-schemas.ts#descriptionLengthMax',
    'src/api/webhook-schemas.ts#urlLengthMax',
    'src/api/webhook-schemas.ts#secretLengthMax',
    'src/api/webhook-schemas.ts#filterLengthMax',
    'src/api/webhook-schemas.ts#deliveriesPerPageMax',
  ],
  'how much of a text, or how many of several, an answer repeats': [
    'src/api/envelope.ts#errorsMax',
    'src/api/envelope.ts#shownPathLengthMax',
    'src/api/kept.ts#noticesMax',
    'src/destination/certificate.ts#namesToldMax',
    'src/destination/certificate.ts#textLengthMax',
    'src/destination/certificate.ts#chainLengthMax',
  ],
  'habits of ours, which nobody else drives': [
    'src/api/account-documents.ts#racesLostMax',
    'src/api/follow.ts#tombstonesMax',
    'src/api/server.ts#closeMsMax',
    'src/api/wishes.ts#racePauseMsMax',
    'src/api/wishes.ts#racesLostMax',
    'src/destination/lint.ts#tellingKeyLengthMin',
    'src/destination/reset.ts#shutdownMsMax',
    'src/notify/delivery-queue.ts#waitMsMax',
    'src/notify/feed-troubles.ts#keyframeIntervalMsMax',
    'src/notify/ledger.ts#eventsPerPageMax',
  ],
}

test('every constant that bounds what a peer may do is in the table', () => {
  const named = new Set(rows.flatMap(({ of }) => of).map((name) => name.replace(/\.\w+$/, '')))
  const exempt = Object.values(noLimits).flat()
  const guarded = filesOfRepository().filter(
    (path) =>
      /^src\/(?:rtmp|api|notify|destination)\/[\w-]+\.ts$/.test(path) ||
      /^src\/live\/(?:ingest-server|doorkeeper|failed-keys|relay-path|media-headers|output-connection)\.ts$/.test(path),
  )
  const missing = guarded.flatMap((path) =>
    [...constantsIn(path).keys()]
      .filter((name) => /(?:Max|Min|Rate|Limits)$/.test(name))
      .map((name) => `${path}#${name}`)
      .filter((name) => !named.has(name) && !exempt.includes(name)),
  )
  assert.deepEqual(missing, [])
  const gone = exempt.filter((name) => !constantsIn(name.split('#')[0]!).has(name.split('#')[1]!))
  assert.deepEqual(gone, [])
})
