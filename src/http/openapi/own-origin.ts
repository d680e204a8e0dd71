/** Gives each reader of the OpenAPI document examples with the address that they read it at. */

/** The address of the service in the committed document. */
const DEFAULT_ORIGIN = 'http://127.0.0.1:8080'

/** The address of the service as the client wrote it: `http://host:port`. */
export const originOf = ({ protocol, host }: { protocol: string; host: string }): string =>
  `${protocol}://${host}`

/**
 * Replaces the address in the examples by `origin`, so that readers can copy them. The origin is escaped,
 * because it comes from a header of the client.
 */
export const nameOrigin = (document: string, origin: string): string =>
  document.replaceAll(DEFAULT_ORIGIN, () => JSON.stringify(origin).slice(1, -1))
