import { Session } from 'node:inspector/promises'

/** Objects that were allocated on V8's heap, and where: the places with the most, most first. */
export type Allocations = {
  readonly objects: number
  readonly bytes: number
  readonly top: readonly { readonly where: string; readonly objects: number; readonly bytes: number }[]
}

type ProfileNode = {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children: readonly ProfileNode[]
}

/** As the protocol has it; the types that come with Node lack the samples. */
type Profile = {
  readonly head: ProfileNode
  readonly samples: readonly { readonly size: number; readonly nodeId: number }[]
}

const placesMax = 8
const benchFolder = new URL('.', import.meta.url).href

/**
 * Runs something, and counts what it allocates. With an interval of one byte the sampling profiler takes every object, those that the
 * garbage collector has taken meanwhile included.
 * What the files of the bench themselves allocate is left out.
 */
export async function countAllocations(run: () => Promise<void> | void): Promise<Allocations> {
  const session = new Session()
  session.connect()
  try {
    await session.post('HeapProfiler.enable')
    await session.post('HeapProfiler.startSampling', {
      samplingInterval: 1,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    })
    await run()
    const answer = await session.post('HeapProfiler.stopSampling')
    const profile = answer.profile as unknown as Profile
    const nodes = new Map<number, ProfileNode>()
    const visit = (node: ProfileNode) => {
      nodes.set(node.id, node)
      for (const child of node.children) visit(child)
    }
    visit(profile.head)
    const places = new Map<string, { where: string; objects: number; bytes: number }>()
    let objects = 0
    let bytes = 0
    for (const { size, nodeId } of profile.samples) {
      const { functionName, url, lineNumber } = nodes.get(nodeId)!.callFrame
      if (isOurs(url)) continue
      objects++
      bytes += size
      const where = `${functionName || 'anonymous'} (${url.replace(/^.*\/(src|bench)\//, '$1/')}:${lineNumber + 1})`
      const place = places.get(where) ?? { where, objects: 0, bytes: 0 }
      place.objects++
      place.bytes += size
      places.set(where, place)
    }
    const top = [...places.values()].sort((a, b) => b.objects - a.objects).slice(0, placesMax)
    return { objects, bytes, top }
  } finally {
    session.disconnect()
  }
}

/** Without a url: the profiler's own answers, and code of V8 that nothing of the product has called. */
function isOurs(url: string): boolean {
  return url === '' || url.startsWith(benchFolder) || /^node:(internal\/)?inspector/.test(url)
}
