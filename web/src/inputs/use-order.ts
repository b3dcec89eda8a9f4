import { type RefObject, useEffect, useRef, useState } from 'react'
import { held } from './order.ts'

/** Where there is no pointer, who scrolls reads: for so long after. */
const scrolledMs = 4_000

/**
 * The order to show: the right one, unless somebody reads the list. It is read while the pointer or the keyboard is in it, or it is scrolled.
 * @param right another array when the order may have changed. @param chosen changes with what the person asked for, search and sort: then
 *   the right order is shown at once.
 */
export function useOrder(
  list: RefObject<HTMLElement | null>,
  right: readonly string[],
  chosen: string,
): readonly string[] {
  const isRead = useIsRead(list)
  const shown = useRef<{ order: readonly string[]; chosen: string }>(undefined)
  if (shown.current === undefined || shown.current.chosen !== chosen || !isRead)
    shown.current = { order: right, chosen }
  else shown.current.order = held(shown.current.order, right)
  return shown.current.order
}

function useIsRead(list: RefObject<HTMLElement | null>): boolean {
  const [isRead, setRead] = useState(false)
  useEffect(() => {
    let isOver = false
    let scrolledAt = Number.NEGATIVE_INFINITY
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = () => {
      clearTimeout(timer)
      const leftMs = scrolledAt + scrolledMs - performance.now()
      if (leftMs > 0) timer = setTimeout(look, leftMs)
      setRead(isOver || leftMs > 0 || list.current?.contains(document.activeElement) === true)
    }
    const over = (event: Event) => {
      const isOverNow = list.current?.contains(event.target as Node) === true
      if (isOverNow === isOver) return
      isOver = isOverNow
      look()
    }
    const gone = () => {
      isOver = false
      look()
    }
    const scrolled = () => {
      scrolledAt = performance.now()
      look()
    }
    document.addEventListener('pointerover', over)
    document.documentElement.addEventListener('pointerleave', gone)
    document.addEventListener('focusin', look)
    document.addEventListener('focusout', look)
    addEventListener('scroll', scrolled, { passive: true })
    return () => {
      clearTimeout(timer)
      document.removeEventListener('pointerover', over)
      document.documentElement.removeEventListener('pointerleave', gone)
      document.removeEventListener('focusin', look)
      document.removeEventListener('focusout', look)
      removeEventListener('scroll', scrolled)
    }
  }, [list])
  return isRead
}
