import { randomBytes } from 'node:crypto'
import { Secret } from '../secret.ts'
import type { LiveInputId } from './id.ts'

/**
 * The key with which an encoder publishes to a live input: `<32 hex>k<uid>`, the form that Cloudflare gives out.
 * It carries the uid of its input, so that a publisher is found without an index of keys.
 */
export function newStreamKey(uid: LiveInputId): Secret {
  return new Secret(`${randomBytes(16).toString('hex')}k${uid}`)
}

/** The uid that a presented key claims to belong to; undefined when it has not the form of a key of ours. */
export function liveInputOfKey(presented: string): LiveInputId | undefined {
  return /^[0-9a-f]{32}k([0-9a-f]{32})$/.exec(presented)?.[1] as LiveInputId | undefined
}
