/** Starts a service for the golden cases of a test file. */

import { afterAll, afterEach, beforeAll } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'
import type { Send } from './golden.ts'

/** Starts one service for all cases of a test file; the table `golden` is deleted after each case. */
export const serveGoldens = (): Send => {
  let service: Service
  beforeAll(async () => {
    service = await startService()
  })
  afterEach(async () => {
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/golden' })
  })
  afterAll(() => service.close())

  return async (method, url, body, accept) => {
    const headers = { ...(body && { 'content-type': body.type }), ...(accept && { accept }) }
    const payload = body && (typeof body.bytes === 'string' ? body.bytes : Buffer.from(body.bytes))
    const answer = await service.app.inject({ method, url, headers, payload })
    return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload }
  }
}
