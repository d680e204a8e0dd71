/** Checks that an address can be listened on before anything else starts, and says why not. */
import { createServer } from 'node:net'

/** The address to listen on cannot be had. The message says why, and what to do. */
export class ListenRefusal extends Error {
  override readonly name = 'ListenRefusal'
}

export interface ListenAddress {
  host: string
  /** 0 means any free port. */
  port: number
}

const ANOTHER_PORT = 'choose another port with --port or GATHERD_PORT'
const ANOTHER_HOST =
  'set --host or GATHERD_HOST to an address of this machine: 127.0.0.1, ::1, or 0.0.0.0 for all of them'

/** The reasons by the codes of the system. A host is named as it was given. */
const REASONS: Readonly<Record<string, (address: ListenAddress) => string>> = {
  ENOTFOUND: ({ host }) => `the host ${JSON.stringify(host)} has no address; ${ANOTHER_HOST}`,
  EAI_AGAIN: ({ host }) =>
    `the address of ${JSON.stringify(host)} cannot be looked up, because no name server answers; ` +
    ANOTHER_HOST,
  EADDRINUSE: ({ host, port }) => `port ${port} of ${host} is in use; ${ANOTHER_PORT} (0: any free one)`,
  EACCES: ({ port }) => `this user may not listen on port ${port}; ${ANOTHER_PORT} (above 1023)`,
  EADDRNOTAVAIL: ({ host }) => `${host} is not an address of this machine; ${ANOTHER_HOST}`,
  EAFNOSUPPORT: ({ host }) => `this machine has no network of the kind that ${host} is of; ${ANOTHER_HOST}`,
  EINVAL: ({ host }) =>
    `the system does not listen on ${host} (a link-local address needs its interface: fe80::1%eth0); ` +
    ANOTHER_HOST,
}

/** Returns the refusal that an error of listening stands for, and any other error as it is. */
export const explainListenError = (error: unknown, address: ListenAddress): unknown => {
  const { code = '', syscall = '' } = error as NodeJS.ErrnoException
  if (!Object.hasOwn(REASONS, code) && !/^(listen|bind|getaddrinfo)/.test(syscall)) return error
  const { host, port } = address
  const reason =
    REASONS[code]?.(address) ?? `gatherd cannot listen on port ${port} of ${host}; ${ANOTHER_HOST}`
  return new ListenRefusal(`${reason} (${code})`, { cause: error })
}

/**
 * Rejects with a {@link ListenRefusal} when the address cannot be listened on, for instance because the port
 * is taken. With reusePort, a second server on the same port would silently share its connections.
 */
export const checkAddress = (address: ListenAddress): Promise<void> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error) => reject(explainListenError(error, address)))
    probe.listen({ host: address.host, port: address.port }, () => probe.close(() => resolve()))
  })
