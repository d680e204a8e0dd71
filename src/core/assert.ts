/**
 * Assertions for our own bugs. Errors that a client or the state of the service can cause are in errors.ts.
 */
/** An internal invariant does not hold. It is our bug, so the client gets a 500, never a 4xx. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}

/**
 * Throws {@link AssertionFailure} unless `condition` holds. Use it for our bugs only; what a client can cause
 * is a GatherdError.
 */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what)
}
