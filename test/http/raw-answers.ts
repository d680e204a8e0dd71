/** A connection that sends any bytes, and reads the answers one by one. */
import { connect, type Socket } from 'node:net'

/** An answer as it was read from the socket. */
export interface RawAnswer {
  status: number
  /** With lower-case names. */
  headers: Record<string, string>
  body: string
}

const HAS_NO_BODY = (status: number): boolean => status < 200 || status === 204 || status === 304

/** The client's end of a connection, which a test writes to byte by byte. */
export class RawConnection {
  readonly socket: Socket
  /** Whether the service has ended its side, or reset the connection. */
  isEnded = false
  wasReset = false
  #text = ''
  #wake = (): void => {}

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1')
      this.#wake()
    })
    this.socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      this.wasReset ||= code === 'ECONNRESET' || code === 'EPIPE'
    })
    const end = (): void => {
      this.isEnded = true
      this.#wake()
    }
    this.socket.on('end', end).on('close', end)
  }

  /** Reads the next answer, interim ones too; null at the end of the connection. */
  async answer(method = 'GET'): Promise<RawAnswer | null> {
    for (;;) {
      const answer = this.#take(method)
      if (answer !== null) return answer
      if (this.isEnded) return null
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Waits for the end of the service's side. */
  async end(): Promise<void> {
    while (!this.isEnded)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
  }

  #take(method: string): RawAnswer | null {
    const headEnd = this.#text.indexOf('\r\n\r\n')
    if (headEnd < 0) return null
    const [first, ...lines] = this.#text.slice(0, headEnd).split('\r\n')
    const status = Number(first.split(' ')[1])
    const headers: Record<string, string> = {}
    for (const line of lines) headers[line.split(':', 1)[0].toLowerCase()] = line.replace(/^[^:]*: */, '')
    const from = headEnd + 4
    const end = this.#bodyEnd(from, method === 'HEAD' || HAS_NO_BODY(status), headers)
    if (end === null) return null
    const body = this.#text.slice(from, end)
    this.#text = this.#text.slice(end)
    return { status, headers, body }
  }

  #bodyEnd(from: number, isEmpty: boolean, headers: Record<string, string>): number | null {
    if (isEmpty) return from
    if (headers['transfer-encoding'] === 'chunked') {
      const last = this.#text.indexOf('0\r\n\r\n', from)
      return last < 0 ? null : last + 5
    }
    if (headers['content-length'] === undefined) return this.isEnded ? this.#text.length : null
    const end = from + Number(headers['content-length'])
    return this.#text.length < end ? null : end
  }
}
