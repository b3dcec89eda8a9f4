import { type ComponentType, type ReactNode, useEffect, useState } from 'react'

export type Later<Props> = ComponentType<Props> & {
  /** Begins to load it, before it is drawn. */
  readonly preload: () => void
}

/**
 * A part whose code comes when it is needed. In place of React's `lazy`, which keeps what is shown meanwhile for 300 ms however soon the code
 * is there, and does so for each part within another: a live input took twice that before one could press anything.
 * @param meanwhile what is shown until the code is there. Code that does not come is a mistake of the page, for the guard around it.
 */
export function later<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  meanwhile: ReactNode,
): Later<Props> {
  let Part: ComponentType<Props> | undefined
  let loading: Promise<void> | undefined
  const begin = () => {
    loading ??= load().then((loaded) => {
      Part = loaded
    })
    return loading
  }
  function LaterPart(props: Props) {
    const [isThere, setThere] = useState(Part !== undefined)
    const [failure, setFailure] = useState<{ readonly error: unknown }>()
    useEffect(() => {
      if (isThere) return
      let isLeft = false
      begin().then(
        () => !isLeft && setThere(true),
        (error: unknown) => !isLeft && setFailure({ error }),
      )
      return () => {
        isLeft = true
      }
    }, [isThere])
    if (failure !== undefined) throw failure.error
    return Part === undefined ? meanwhile : <Part {...props} />
  }
  return Object.assign(LaterPart, {
    preload: () => {
      // Told when it is drawn.
      begin().catch(() => {})
    },
  })
}
