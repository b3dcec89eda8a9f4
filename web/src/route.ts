/**
 * Where the page is, in the part of the address after `#`, so that the server has one page to serve:
 * `#/sign-in`, `#/<account>/inputs`, `#/<account>/inputs/<input>`, `#/<account>/settings`.
 */
export type Route =
  | { readonly name: 'start' }
  | { readonly name: 'sign-in'; readonly once: string | undefined }
  | { readonly name: 'inputs'; readonly account: string }
  | { readonly name: 'input'; readonly account: string; readonly input: string }
  | { readonly name: 'settings'; readonly account: string }
  | { readonly name: 'unknown' }

const idPattern = /^[0-9a-f]{32}$/

/** @param hash with or without its `#`. */
export function readRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?', 2)
  const [first, second, third, ...rest] = path.split('/').filter((part) => part !== '')
  if (first === undefined) return { name: 'start' }
  if (first === 'sign-in') return { name: 'sign-in', once: new URLSearchParams(query).get('once') ?? undefined }
  if (!idPattern.test(first) || rest.length > 0) return { name: 'unknown' }
  if (second === undefined || (second === 'inputs' && third === undefined)) return { name: 'inputs', account: first }
  if (second === 'inputs' && third !== undefined && idPattern.test(third))
    return { name: 'input', account: first, input: third }
  if (second === 'settings' && third === undefined) return { name: 'settings', account: first }
  return { name: 'unknown' }
}

export function hashOf(route: Route): string {
  switch (route.name) {
    case 'sign-in':
      return '#/sign-in'
    case 'inputs':
      return `#/${route.account}/inputs`
    case 'input':
      return `#/${route.account}/inputs/${route.input}`
    case 'settings':
      return `#/${route.account}/settings`
    case 'start':
    case 'unknown':
      return '#/'
  }
}
