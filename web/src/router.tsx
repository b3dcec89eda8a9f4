import { type AnchorHTMLAttributes, type MouseEvent, useSyncExternalStore } from 'react'
import { hashOf, type Route, readRoute } from './route.ts'

export { hashOf, type Route } from './route.ts'

export function goTo(route: Route): void {
  location.hash = hashOf(route)
}

/** Without a step in the history: Back shall not lead into a page that sends one on again. */
export function replaceWith(route: Route): void {
  history.replaceState(null, '', hashOf(route))
  dispatchEvent(new HashChangeEvent('hashchange'))
}

export function useRoute(): Route {
  return readRoute(useSyncExternalStore(follow, () => location.hash))
}

/** The account whose page this is: for what is shown on such pages alone. */
export function useAccount(): string {
  const route = useRoute()
  if (!('account' in route)) throw new Error('This page belongs to no account.')
  return route.account
}

function follow(changed: () => void): () => void {
  addEventListener('hashchange', changed)
  return () => removeEventListener('hashchange', changed)
}

type LinkProps = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href'> & { readonly to: Route }

export function Link({ to, onClick, ...props }: LinkProps) {
  const clicked = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    if (!event.defaultPrevented && !event.metaKey && !event.ctrlKey) scrollTo(0, 0)
  }
  return <a {...props} href={hashOf(to)} onClick={clicked} />
}
