/** A broken promise of our own code: becomes a 500, never a 4xx. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}

/** Throws {@link AssertionFailure} unless `condition` holds. For our bugs only; what a client can cause is a GatherdError. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what)
}
