/**
 * The clock by which stored things age. It goes on only while a service runs, at the pace of the monotonic
 * clock, and begins at the newest time that is stored: a clock of the system that is set wrong for one start
 * makes nothing older. Time without a running service does not count, so things are kept rather longer.
 */
export class ServiceClock {
  readonly #originMs: number

  /** `storedMs` are times of this clock that are stored; the time of the system if there is none. */
  constructor(storedMs: readonly number[]) {
    this.#originMs = (storedMs.length === 0 ? Date.now() : Math.max(...storedMs)) - performance.now()
  }

  /** Milliseconds, which never go back. */
  now(): number {
    return this.#originMs + performance.now()
  }
}
