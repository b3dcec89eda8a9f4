import type { WireSignInLink } from '../api/session-routes.ts'
import type { Command } from './command.ts'
import { printJson } from './print-json.ts'

export const dashboardCommands: readonly Command[] = [
  {
    words: ['sign-in-link'],
    takes: [],
    summary: 'makes a link that signs in on the dashboard, once',
    details:
      'Whoever opens it in a browser is signed in with the rights of the token that made it. It works once, and for an hour. The link alone goes to standard output.',
    options: {},
    examples: ['stream-connect sign-in-link', 'xdg-open "$(stream-connect sign-in-link)"'],
    async run(invocation) {
      const { result } = await invocation.api.call<WireSignInLink>('POST', '/user/sign_in_links')
      if (invocation.isJson) return printJson(invocation, result)
      // Who said where the server is knows an address that leads there.
      const given = invocation.option('api-url')
      const url = given === undefined ? (result.url ?? result.path) : `${new URL(given).origin}${result.path}`
      invocation.print(`${url}\n`)
      invocation.note(`It works once, until ${result.expires_on}.`)
    },
  },
]
