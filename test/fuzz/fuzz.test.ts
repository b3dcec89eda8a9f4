import assert from 'node:assert/strict'
import { globSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { chunkVectors } from '../../src/rtmp/chunk.vectors.ts'
import { publisherLimits } from '../../src/rtmp/chunk-reader.ts'
import { withinMemory } from './allocation-meter.ts'
import { readCorpus, readRegressions } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { readChunks } from './formats/plain-chunk-reader.ts'
import { Fuzzer } from './fuzzer.ts'
import { hashOf, Random } from './random.ts'
import { Broken, type Target } from './target.ts'
import { targets } from './targets/all.ts'
import { cutUp } from './targets/chunks.ts'

/** A short round of what `npm run fuzz` does for as long as one likes: about ten seconds in all, of the processor's own time. */
const cpuMsOfTarget = 600
/** Where others want the processor, too, a short round stays one. */
const wallMsOfTarget = 2000
const seed = 20_261_123
/** Bytes of corpus, regressions and recordings together. */
const repositoryBytesMax = 2_000_000

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

const told = (fuzzer: Fuzzer): string[] =>
  [...fuzzer.findings.values()].map(({ title, detail, input }) => `${title}\n${detail}\n${input.toString('hex')}`)

for (const target of targets)
  describe(`fuzzing ${target.name}`, () => {
    for (const { name, input } of readRegressions(target.name))
      it(`what was once wrong: ${name}`, async () => {
        using coverage = new Coverage(() => false)
        const fuzzer = new Fuzzer(target, new Random(seed), coverage)
        await fuzzer.replay([input])
        assert.deepEqual(told(fuzzer), [])
      })

    it('seeds, corpus and inputs made from them', { timeout: 120_000 }, async () => {
      using coverage = new Coverage((url) => target.covers.some((end) => url.endsWith(end)))
      const fuzzer = new Fuzzer(target, new Random(seed), coverage)
      const before = [...target.seeds(), ...readCorpus(target.name)]
      assert.ok(before.length > 0)
      await fuzzer.replay(before)
      assert.deepEqual(told(fuzzer), [])
      const { covered } = coverage.blocks
      assert.ok(covered > 5, 'the code under test is what runs')
      const until = cpuMs() + cpuMsOfTarget
      const latest = performance.now() + wallMsOfTarget
      await fuzzer.fuzz(() => cpuMs() > until || performance.now() > latest)
      assert.ok(fuzzer.executions > before.length)
      assert.deepEqual(told(fuzzer), [])
    })
  })

/** Each of the comparisons is a block of its own: found one after the other, or never (one in four billion). */
function hasPassword(input: Buffer): boolean {
  if (input[0] !== 0x50) return false
  if (input[1] !== 0x41) return false
  if (input[2] !== 0x53) return false
  return input[3] === 0x5a
}

const planted = (run: Target['run'], seeds: readonly Buffer[] = [Buffer.alloc(40, 1)]): Target => ({
  name: 'planted',
  covers: ['test/fuzz/fuzz.test.ts'],
  seeds: () => seeds,
  words: [],
  bytesMax: 100,
  run,
})

async function fuzzPlanted(target: Target, executionsMax: number): Promise<Fuzzer> {
  using coverage = new Coverage((url) => target.covers.some((end) => url.endsWith(end)))
  const fuzzer = new Fuzzer(target, new Random(7), coverage)
  await fuzzer.replay(target.seeds())
  await fuzzer.fuzz(() => fuzzer.findings.size > 0 || fuzzer.executions > executionsMax)
  return fuzzer
}

describe('the fuzzer', () => {
  it('follows the coverage to what chance never finds, and makes it small', { timeout: 60_000 }, async () => {
    const fuzzer = await fuzzPlanted(
      planted((input) => {
        if (hasPassword(input)) throw new RangeError(`the planted mistake of ${input.length} bytes`)
        return ''
      }),
      2_000_000,
    )
    const [finding] = [...fuzzer.findings.values()]
    assert.equal(finding?.input.toString('latin1'), 'PASZ')
    assert.match(finding.title, /^RangeError: the planted mistake of N bytes \(test\/fuzz\/fuzz\.test\.ts\)$/)
    assert.ok(fuzzer.corpus.some((input) => input.subarray(0, 3).toString('latin1') === 'PAS'))
  })

  it('keeps what does something new although it covers nothing new', async () => {
    const fuzzer = await fuzzPlanted(
      planted((input) => `${input.length % 7}`),
      3000,
    )
    assert.equal(new Set(fuzzer.corpus.map((input) => input.length % 7)).size, 7)
  })

  it('finds what takes too long', async () => {
    const fuzzer = await fuzzPlanted(
      planted((input) => {
        const until = cpuMs() + (input.length % 16 === 3 ? 100 : 0)
        while (cpuMs() < until);
        return ''
      }),
      3000,
    )
    assert.deepEqual([...fuzzer.findings.keys()], ['slow'])
  })

  it('is the same again with the same seed', async () => {
    const run = async () => {
      const hashes: number[] = []
      await fuzzPlanted(
        planted((input) => {
          if (hashes.length < 500) hashes.push(hashOf(input))
          return ''
        }),
        500,
      )
      return hashes
    }
    assert.deepEqual(await run(), await run())
  })

  it('measures memory: one buffer that is too large, and all together', () => {
    const limits = { oneMax: 100, allMax: 250 }
    assert.equal(
      withinMemory(limits, () => Buffer.alloc(100).length),
      100,
    )
    assert.throws(() => withinMemory(limits, () => Buffer.allocUnsafe(101)), Broken)
    assert.throws(() => withinMemory(limits, () => [1, 2, 3].map(() => Buffer.allocUnsafeSlow(90))), Broken)
    assert.throws(
      () =>
        withinMemory(limits, () => {
          throw new RangeError('its own')
        }),
      RangeError,
    )
    assert.equal(Buffer.alloc(1000).length, 1000)
  })

  it('cuts an input and loses nothing', () => {
    for (let length = 0; length < 300; length += 7) {
      const input = new Random(length).bytes(length)
      assert.deepEqual(Buffer.concat(cutUp(input)), input)
      assert.ok(cutUp(input, 10).length <= 40)
    }
  })

  it('has a plain reader that reads the table of chunks', () => {
    for (const { name, encoded, decoded } of chunkVectors) {
      const { messages, chunks, end } = readChunks(encoded, publisherLimits)
      assert.deepEqual({ messages, end }, { messages: decoded, end: 'end' }, name)
      assert.equal(chunks.at(-1)?.end, encoded.length, name)
    }
  })

  it('keeps little in the repository', () => {
    const files = globSync('{corpus,regressions,seeds}/**/*.{hex,txt}', { cwd: import.meta.dirname })
    const bytes = files.reduce((sum, file) => sum + statSync(`${import.meta.dirname}/${file}`).size, 0)
    assert.ok(files.length > 10 && bytes < repositoryBytesMax, `${files.length} files, ${bytes} bytes`)
  })
})
