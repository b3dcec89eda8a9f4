import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import type { TokenId } from '../model/id.ts'
import { linkDurationMsMax, SignInLinks } from './session-links.ts'

const tokenId = (number: number) => number.toString(16).padStart(32, '0') as TokenId

test('a token has five links, and voids none of another by making more', () => {
  const links = new SignInLinks(new ManualClock())
  const [owner, other] = [tokenId(0), tokenId(1)]
  const printed = links.make(owner).once.reveal()
  const made = Array.from({ length: 50 }, () => links.make(other).once.reveal())
  assert.deepEqual(
    made.map((text) => links.use(text)),
    [...Array(45).fill(undefined), ...Array(5).fill(other)],
  )
  assert.equal(links.use(printed), owner)
  assert.equal(links.use(printed), undefined)
})

test('there are a thousand links in all, of which the oldest gives way; those that are too old count no more', () => {
  const clock = new ManualClock()
  const links = new SignInLinks(clock)
  const old = Array.from({ length: 1_000 }, (_, index) => links.make(tokenId(index)).once.reveal())
  links.make(tokenId(5_000))
  assert.equal(links.use(old[0]!), undefined)
  assert.equal(links.use(old[1]!), tokenId(1))
  clock.advance(linkDurationMsMax - 1)
  assert.equal(links.use(old[2]!), tokenId(2))
  clock.advance(1)
  const first = links.make(tokenId(1)).once.reveal()
  for (let index = 0; index < 999; index++) links.make(tokenId(6_000 + index))
  assert.equal(links.use(first), tokenId(1))
})
