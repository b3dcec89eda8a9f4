import { readChallenge } from '../../../src/rtmp/adobe-auth.ts'
import {
  type AmfValue,
  type AmfWritable,
  amfLimits,
  leadingText,
  readAmf0Prefix,
  readAmf0Values,
  writeAmf0Values,
} from '../../../src/rtmp/amf0.ts'
import { informationOf, readCommand } from '../../../src/rtmp/command.ts'
import { readCapabilities } from '../../../src/rtmp/enhanced-capabilities.ts'
import { messageTypes, ProtocolError } from '../../../src/rtmp/message.ts'
import { cleanWords, isRefusal, redirectOf, refusal } from '../../../src/rtmp/refusal.ts'
import { Secret } from '../../../src/secret.ts'
import { amfWords, makeAmf3, mutateAmf0 } from '../formats/amf.ts'
import { amf0Seeds, amf3Seeds, commandSeeds } from '../seeds.ts'
import { magnitude, must, mustEqual, show, type Target, texts } from '../target.ts'

const covers = ['src/rtmp/amf0.ts', 'src/rtmp/amf3.ts']

/** What a value holds: whether it can be written again, and how much there is. By way of references it may be nested without end. */
function survey(
  value: AmfValue,
  depth: number,
  within: readonly AmfValue[],
  into: { count: number; twice: boolean },
): void {
  into.count++
  // What is referred to deep down is nested more deeply than it was written.
  if (depth > amfLimits.depthMax) into.twice = false
  if (typeof value === 'string') {
    must(value.isWellFormed(), 'every text is well-formed')
    // A byte that is no UTF-8 becomes three.
    if (value.includes('\ufffd')) into.twice = false
    return
  }
  if (typeof value !== 'object' || value === null || value instanceof Date) return
  if (value instanceof Uint8Array || within.includes(value) || into.count > 20_000 || depth > amfLimits.depthMax) {
    into.twice = false
    return
  }
  const inside = [...within, value]
  if (Array.isArray(value)) {
    for (const item of value) survey(item, depth + 1, inside, into)
    return
  }
  for (const [name, member] of value) {
    survey(name, depth, inside, into)
    survey(member, depth + 1, inside, into)
  }
}

function readAll(input: Buffer): { values: AmfValue[]; end: string } {
  try {
    return { values: readAmf0Values(input), end: 'complete' }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { values: [], end: error.reason }
  }
}

function readsAndWrites(input: Buffer): string {
  const prefix = readAmf0Prefix(input)
  const all = readAll(input)
  must(prefix.complete === (all.end === 'complete'), 'a prefix is complete where everything can be read')
  const told = { count: 0, twice: true }
  for (const value of prefix.values) survey(value, 0, [], told)
  must(prefix.values.length <= amfLimits.itemsMax, 'no more values than allowed')
  const text = leadingText(input)
  if (text !== undefined) mustEqual(show(prefix.values[0]), show(text.text), 'the leading text is the first value')
  if (told.twice && told.count <= amfLimits.itemsMax) {
    // What was referred to is written in full: nested no deeper than it was told, but more of it.
    const written = writeAmf0Values(prefix.values as AmfWritable[])
    const again = readAll(written)
    mustEqual(again.end, 'complete', 'what is written can be read')
    mustEqual(show(again.values), show(prefix.values), 'what is written is read as it was')
    const once = writeAmf0Values(again.values as AmfWritable[])
    must(once.equals(written), 'written again it is the same')
  }
  return `${all.end} ${magnitude(told.count)} ${told.twice}`
}

const amf0: Target = {
  name: 'amf0',
  covers,
  seeds: amf0Seeds,
  words: amfWords,
  bytesMax: 16 * 1024,
  mutate: mutateAmf0,
  run: readsAndWrites,
}

const amf3: Target = {
  name: 'amf3',
  covers,
  seeds: amf3Seeds,
  words: amfWords,
  bytesMax: 8 * 1024,
  mutate: (input, random) => {
    const value = Buffer.concat([Buffer.of(0x11), makeAmf3(random)])
    return random.oneIn(2)
      ? value
      : Buffer.concat([input.subarray(0, random.below(input.length + 1)), makeAmf3(random)])
  },
  run: readsAndWrites,
}

const streamKey = new Secret('rtmp-key-117?expire=1&sign=ab%3D')
const password = new Secret('hunter22')
/** Cut off at the two hundredth character a secret would be half a secret: none of its pieces may show either. */
const tellingPieces = ['rtmp-key-117', 'hunter22']

/** A command of a destination, and all that is read from it. */
const command: Target = {
  name: 'command',
  covers: [
    ...covers,
    'src/rtmp/command.ts',
    'src/rtmp/refusal.ts',
    'src/rtmp/adobe-auth.ts',
    'src/rtmp/enhanced-capabilities.ts',
  ],
  seeds: commandSeeds,
  words: [
    ...amfWords,
    ...texts(
      'rtmp-key-117?expire=1&sign=ab%3D',
      'hunter22',
      '/rtmp-key-117',
      'rtmp://a/b/rtmp-key-117',
      '?reason=needauth&',
    ),
    ...texts(
      'authmod=adobe',
      'authmod=llnw',
      'AccessManager.Reject',
      'codec',
      'not supported',
      'already exists',
      '\u202e',
    ),
  ],
  bytesMax: 64 * 1024,
  mutate: mutateAmf0,
  run(input) {
    const type = (input[0] ?? 0) === 0 ? messageTypes.amf3Command : messageTypes.amf0Command
    const read = readCommand({ chunkStreamId: 3, type, timestamp: 0, messageStreamId: 1, body: input })
    if (read === undefined) return 'none'
    must(Number.isFinite(read.transactionId), 'a transaction id is a finite number')
    const information = informationOf(read)
    // Those that the dialogue takes for a refusal: no other name gets into a message.
    if (!refusals.has(read.name)) return `another ${capabilitiesOf(read.values)}`
    const error = refusal(read, 'publishing', [streamKey, password])
    must([...error.message].length <= 1000, 'a refusal is short')
    for (const piece of tellingPieces) must(!error.message.includes(piece), 'a refusal tells no secret')
    must(!/[\p{Cc}\p{Cs}]/u.test(error.message), 'a refusal has no control characters')
    const url = redirectOf(information, streamKey)
    if (url !== undefined) {
      must(/^rtmps?:\/\//i.test(url) && url.length <= 2048, 'a redirect is a url')
      must(!url.endsWith(`/${streamKey.reveal()}`), 'a redirect ends without the key')
    }
    for (const value of read.values) if (typeof value === 'string') readChallenge(cleanWords(value, [streamKey]))
    return `${error.code} ${isRefusal(information)} ${url !== undefined} ${capabilitiesOf(read.values)}`
  },
}

const refusals = new Set(['_result', '_error', 'onStatus', 'onFCPublish'])

function capabilitiesOf(values: readonly AmfValue[]): string {
  const capabilities = readCapabilities(values)
  for (const map of [capabilities?.videoFourCcInfoMap, capabilities?.audioFourCcInfoMap])
    for (const mask of map?.values() ?? []) must(mask >= 0 && mask <= 255, 'a mask has eight bits')
  return Object.keys(capabilities ?? {}).join(' ')
}

export const amfTargets: readonly Target[] = [amf0, amf3, command]
