import { createServer } from 'node:net'
import { CodedError } from './errors.ts'
import { kebab, variablePrefix } from './settings.ts'

/**
 * The host to listen on: `::`, which takes IPv4 too, becomes `0.0.0.0` where the machine has no IPv6.
 * Any other host is listened on as it is.
 */
export async function hostToListenOn(host: string, canListen = canListenOn): Promise<string> {
  return host === '::' && !(await canListen('::')) ? '0.0.0.0' : host
}

/** Only trying tells: IPv6 may be missing from the kernel, or switched off for every interface. */
function canListenOn(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host, port: 0 }, () => probe.close(() => resolve(true)))
  })
}

/**
 * The sentence for a listener that could not be opened.
 * @param room which pair of settings named host and port: HTTP_HOST and HTTP_PORT, for instance
 * @returns CodedError port_taken or setting_invalid; any other error as it is
 */
export function listenFailure(
  error: unknown,
  room: { readonly hostSetting: string; readonly host: string; readonly portSetting: string; readonly port: number },
): unknown {
  const port = `${bothNamesOf(room.portSetting)} is ${room.port}`
  const host = `${bothNamesOf(room.hostSetting)} is "${room.host}"`
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'EADDRINUSE':
      return new CodedError('port_taken', `${port} and another program listens there; stop it or give another port.`, {
        cause: error,
      })
    case 'EACCES':
      return new CodedError(
        'setting_invalid',
        `${port} and this user may not listen there; give a port from 1024 on, or grant the right (CAP_NET_BIND_SERVICE).`,
        { cause: error },
      )
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CodedError('setting_invalid', `${host} and that is no address of this machine; give one that is.`, {
        cause: error,
      })
    default:
      return error
  }
}

/** The port may have its default: who gave neither has to know both. */
function bothNamesOf(setting: string): string {
  return `${variablePrefix}${setting} (--${kebab(setting)})`
}
