import { useEffect } from 'react'

/** What the tab of the browser says. @param page undefined: what is not known yet leaves it as it was. */
export function useTitle(page: string | undefined): void {
  useEffect(() => {
    if (page !== undefined) document.title = `${page} · Stream Connect`
  }, [page])
}
