/** Runs the rows of conformance-rows.ts against a port. */
import { expect } from 'vitest'
import type { ConformanceRow, Validators } from './conformance-requests.ts'
import { RawConnection, type RawAnswer } from './raw-answers.ts'

const ALIVE = 'GET /livez HTTP/1.1\r\nHost: here\r\n\r\n'

/** Makes the table that rows refer to, and reads its validators. */
export const prepareTable = async (url: string): Promise<Validators> => {
  const put = await fetch(`${url}/v1/tables/kept`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{"values":[[1,2],[3,4]]}',
  })
  expect(put.ok).toBe(true)
  const tagOf = async (path: string): Promise<string> => {
    const answer = await fetch(`${url}/v1/tables/kept${path}`)
    await answer.arrayBuffer()
    return answer.headers.get('etag') ?? ''
  }
  return { info: await tagOf(''), data: await tagOf('/data'), rows: await tagOf('/rows') }
}

/** Removes what rows leave behind. */
export const removeLeftovers = async (url: string): Promise<void> => {
  for (const name of ['half', 'line', 'coded', 'new'])
    await fetch(`${url}/v1/tables/${name}`, { method: 'DELETE' })
}

const describe = ({ status, body }: RawAnswer, row: ConformanceRow, place: number) => {
  const expected = row.answers[place]
  if (typeof expected === 'number' || expected === undefined) return status
  return [status, (JSON.parse(body) as { code: string }).code]
}

/** Expects exactly what the row says: the answers, and what becomes of the connection. */
export const expectConformance = async (
  port: number,
  row: ConformanceRow,
  tags: Validators,
): Promise<void> => {
  const connection = new RawConnection(port)
  try {
    connection.socket.write(Buffer.from(bytesOf(row, tags), 'latin1'))
    if (row.isHalfClosed) connection.socket.end()
    const interim: number[] = []
    const answers: RawAnswer[] = []
    while (answers.length < row.answers.length) {
      const answer = await connection.answer(row.method)
      if (answer === null) break
      if (answer.status < 200) interim.push(answer.status)
      else answers.push(answer)
    }
    expect(answers.map((answer, i) => describe(answer, row, i))).toEqual(row.answers)
    expect(interim).toEqual(row.interim ?? [])
    for (const [name, value] of Object.entries(row.headers ?? {}))
      expect(answers.at(-1)?.headers[name] ?? `no ${name}`).toMatch(value)
    if (row.after === 'open') {
      connection.socket.write(ALIVE)
      expect((await connection.answer())?.status).toBe(200)
    } else {
      await connection.end()
      expect(await connection.answer()).toBe(null)
      if (!row.isHalfClosed) expect(answers.at(-1)?.headers.connection).toBe('close')
    }
    expect(connection.wasReset).toBe(false)
  } finally {
    connection.socket.destroy()
  }
}

/**
 * Expects what the row says, or what the proxy answers in its place. The connection is the proxy's. No answer
 * is one of the proxy about a broken connection to the service.
 */
export const expectBehindProxy = async (
  port: number,
  row: ConformanceRow,
  tags: Validators,
): Promise<void> => {
  const connection = new RawConnection(port)
  try {
    connection.socket.write(Buffer.from(bytesOf(row, tags), 'latin1'))
    const statuses: number[] = []
    while (statuses.length < row.answers.length) {
      const answer = await connection.answer(row.method)
      if (answer === null) break
      if (answer.status >= 200) statuses.push(answer.status)
    }
    for (const status of [502, 504]) expect(statuses).not.toContain(status)
    if (Array.isArray(row.behind)) expect(row.behind).toContain(statuses[0])
    else expect(statuses).toEqual(row.answers.map((one) => (typeof one === 'number' ? one : one[0])))
  } finally {
    connection.socket.destroy()
  }
}

const bytesOf = ({ send }: ConformanceRow, tags: Validators): string =>
  typeof send === 'string' ? send : send(tags)
