/**
 * The examples of the document name a service at its default address. A reader gets them with the address
 * that the document was read at, so that they can be copied.
 */
const DEFAULT_ORIGIN = 'http://127.0.0.1:8080'

/** The address of the service as the client wrote it: `http://host:port`. */
export const originOf = ({ protocol, host }: { protocol: string; host: string }): string =>
  `${protocol}://${host}`

/**
 * The text of the document with examples for `origin`, which is escaped: it comes from a header of the
 * client.
 */
export const nameOrigin = (document: string, origin: string): string =>
  document.replaceAll(DEFAULT_ORIGIN, () => JSON.stringify(origin).slice(1, -1))
