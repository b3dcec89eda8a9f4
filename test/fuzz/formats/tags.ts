/** Media messages in a row, the form of inputs that are streams: | kind 1 | timestamp 4 | length 2 | body | … */
export type Tag = { kind: number; timestamp: number; body: Buffer }

export function tagsOf(input: Buffer): Tag[] {
  const tags: Tag[] = []
  for (let at = 0; at + 7 <= input.length; ) {
    const length = input.readUInt16BE(at + 5)
    const body = input.subarray(at + 7, at + 7 + length)
    tags.push({ kind: input[at]!, timestamp: input.readUInt32BE(at + 1), body })
    at += 7 + length
  }
  return tags
}

export function tagBytes({ kind, timestamp, body }: Tag): Buffer {
  const head = Buffer.alloc(7)
  head[0] = kind
  head.writeUInt32BE(timestamp, 1)
  head.writeUInt16BE(body.length & 0xffff, 5)
  return Buffer.concat([head, body.subarray(0, 0xffff)])
}
