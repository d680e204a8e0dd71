/** The open connections of an HTTP worker, and how they end when the service stops. */
import type { Socket } from 'node:net'

/** Ends what is idle of a set of connections, and returns the sockets of the others. */
export type EndIdle = () => Iterable<Socket>

/** The connections of one HTTP worker, whichever path reads them. */
export class Connections {
  readonly #endIdle: EndIdle[] = []

  /** Adds a set of connections, of which `endIdle` ends the idle ones. */
  add(endIdle: EndIdle): void {
    this.#endIdle.push(endIdle)
  }

  /** Ends idle connections. Resolves when every other one that is open now has ended, too. */
  async endAll(): Promise<void> {
    // A set may pass connections on to a set that was added before it.
    const busy = this.#endIdle.toReversed().flatMap((endIdle) => [...endIdle()])
    await Promise.all(busy.map(whenClosed))
  }
}

const whenClosed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
