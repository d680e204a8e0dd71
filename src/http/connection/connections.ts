/** The open connections of an HTTP worker, and how their requests are finished when the service stops. */
import { setTimeout as sleep } from 'node:timers/promises'

/** The connections that one path reads. */
export interface ConnectionSet {
  /** Called when the service stops: requests that arrive from now on are to be refused. */
  stop?: () => void
  /** Whether an answer is being made or sent. */
  isBusy: () => boolean
}

const POLL_MS = 20

/** The connections of one HTTP worker, whichever path reads them. */
export class Connections {
  readonly #sets: ConnectionSet[] = []

  add(set: ConnectionSet): void {
    this.#sets.push(set)
  }

  /** Resolves when every request in progress has been answered. Idle connections stay open. */
  async finish(): Promise<void> {
    for (const { stop } of this.#sets) stop?.()
    while (this.#sets.some(({ isBusy }) => isBusy())) await sleep(POLL_MS)
  }
}
