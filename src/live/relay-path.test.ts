import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { newLiveInputId } from '../model/id.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { isLoop, readRelayPath, relayIdOf, relayPathLengthMax, writeRelayPath } from './relay-path.ts'

const newInput = () => ({ streamKey: newStreamKey(newLiveInputId()) })

test('an id is the same for as long as the stream key is, and says nothing of it', () => {
  const input = newInput()
  const id = relayIdOf(input)
  assert.match(id, /^[A-Za-z0-9_-]{16}$/)
  assert.equal(relayIdOf({ streamKey: input.streamKey }), id)
  assert.notEqual(relayIdOf(newInput()), id)
  assert.ok(!input.streamKey.reveal().includes(id))
})

test('a feed that has been here is a loop, and one that comes from too far', () => {
  const [here, there] = [newInput(), newInput()]
  assert.equal(isLoop([], here), false)
  assert.equal(isLoop([relayIdOf(there)], here), false)
  assert.equal(isLoop([relayIdOf(there), relayIdOf(here)], here), true)
  const far = Array.from({ length: relayPathLengthMax }, () => relayIdOf(newInput()))
  assert.equal(isLoop(far.slice(1), here), false)
  assert.equal(isLoop(far, here), true)
})

test('a path is read as it was written; of any other text only ids are left, and not many', () => {
  const path = [relayIdOf(newInput()), relayIdOf(newInput())]
  assert.deepEqual(readRelayPath(writeRelayPath(path)), path)
  assert.deepEqual(readRelayPath(undefined), [])
  assert.deepEqual(readRelayPath(`${path[0]},<script>,,${path[1]}x, ${path[1]}`), [path[0]])
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constant(`${path[0]},`.repeat(5_000))), (text) => {
      const read = readRelayPath(text)
      assert.ok(read.length <= relayPathLengthMax && read.every((id) => id.length === 16))
    }),
  )
})
