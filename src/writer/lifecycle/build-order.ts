/** Keeps a slow upload from replacing the result of a request that was accepted after it. */
import { refuse } from '../../core/errors.ts'

/** The order in which builds began, beside the changes of the same tables that have taken effect since. */
export class BuildOrder {
  readonly #open = new Set<number>()
  /** The number of the latest request that made, rolled back or deleted a table, by name. */
  readonly #latest = new Map<string, number>()

  /** Notes a build, by a number that grows. */
  begin(buildNumber: number): void {
    this.#open.add(buildNumber)
  }

  /** Notes that a build has been committed or discarded. Repeating it does nothing. */
  end(buildNumber: number): void {
    // Only open builds can be too late, so nothing else has to be remembered.
    if (this.#open.delete(buildNumber) && this.#open.size === 0) this.#latest.clear()
  }

  /** Notes that builds have been discarded. */
  endAll(buildNumbers: Iterable<number>): void {
    for (const number of buildNumbers) this.end(number)
  }

  /** Notes that a request, accepted as `number`, has changed what the table is. */
  note(name: string, number: number): void {
    if (this.#open.size > 0) this.#latest.set(name, Math.max(number, this.#latest.get(name) ?? 0))
  }

  /** Refuses (PRECONDITION_FAILED) a build after which another change of its table was accepted and made. */
  check(name: string, buildNumber: number): void {
    if ((this.#latest.get(name) ?? 0) > buildNumber)
      refuse(
        'PRECONDITION_FAILED',
        'a request that came after this one has replaced, rolled back or deleted the table meanwhile; ' +
          'send this one again if it is the one that counts',
      )
  }
}
