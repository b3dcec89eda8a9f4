import { Broken } from './target.ts'

/**
 * Counts what the code under test asks for with Buffer.alloc and its like: memory must grow with the bytes received, never with
 * the lengths that a stranger declares. Only synchronous code is measured, so that nobody else's buffers are counted.
 */
const allocators = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const

/** @throws Broken when one buffer or all together are larger than so many bytes. */
export function withinMemory<T>(limits: { readonly oneMax: number; readonly allMax: number }, work: () => T): T {
  const originals = allocators.map((name) => Buffer[name])
  let all = 0
  let largest = 0
  for (const [index, name] of allocators.entries()) {
    const original = originals[index]! as typeof Buffer.alloc
    Buffer[name] = (size: number, ...rest: [fill?: string | Uint8Array | number, encoding?: BufferEncoding]) => {
      all += size
      largest = Math.max(largest, size)
      return original.call(Buffer, size, ...rest)
    }
  }
  const restore = () => {
    for (const [index, name] of allocators.entries()) Buffer[name] = originals[index]! as typeof Buffer.alloc
  }
  let result: T
  try {
    result = work()
  } finally {
    restore()
  }
  if (largest > limits.oneMax) throw new Broken(`a buffer of more bytes than ${limits.oneMax} was made`)
  if (all > limits.allMax) throw new Broken(`buffers of more bytes than ${limits.allMax} were made`)
  return result
}
