/** Starts a service for the golden cases of a test file. */

import { afterAll, beforeAll } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'
import { createGoldenTable, type GoldenCase, printJson, type Send } from './golden.ts'

interface Goldens {
  send: Send
  /**
   * Gives the case the table `golden` that it describes, or none. Half of the time of a case would go into
   * its table, so the next case gets the same one if it describes an equal table and this case only reads.
   */
  provideTable: (golden: GoldenCase) => Promise<void>
}

/** Starts one service for all cases of a test file. */
export const serveGoldens = (): Goldens => {
  let service: Service
  /** The description of the table `golden`, if no case has changed the table. */
  let unchanged: string | null = null
  beforeAll(async () => {
    service = await startService()
  })
  afterAll(() => service.close())

  const send: Send = async (method, url, body, accept) => {
    const headers = { ...(body && { 'content-type': body.type }), ...(accept && { accept }) }
    const payload = body && (typeof body.bytes === 'string' ? body.bytes : Buffer.from(body.bytes))
    const answer = await service.app.inject({ method, url, headers, payload })
    return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload }
  }
  const provideTable = async ({ table, route, steps }: GoldenCase) => {
    const description = printJson(table)
    if (description !== unchanged) {
      await service.app.inject({ method: 'DELETE', url: '/v1/tables/golden' })
      if (table !== null) await createGoldenTable(send, 'golden', table)
    }
    unchanged = steps === undefined && ['lookup', 'attend'].includes(route) ? description : null
  }
  return { send, provideTable }
}
