/** Speaks HTTP/1.1 with gatherd and with every comparison that takes the same requests. */
import { encodeBody, encodeRequest, headersOf, pathOf } from './requests.ts'
import { putTable } from '../put-table.ts'
import type { AnswerDone, AnswerReader, Wire } from './wire.ts'

export const httpWire: Wire = {
  // All servers get the same bytes, so the Host field cannot hold the port.
  encodeRequest: (scenario, plan) =>
    encodeRequest('127.0.0.1', pathOf(scenario), headersOf(scenario), encodeBody(scenario, plan)),
  makeReader: makeAnswerReader,
  createTable: putTable,
}

/** Reads HTTP/1.1 answers that announce their length; throws at one that does not. */
export function makeAnswerReader(done: AnswerDone, keep?: (piece: Buffer) => void): AnswerReader {
  let head = ''
  let status = 0
  let bodyBytes = 0
  let missingBytes = -1
  return (piece) => {
    let body = piece
    if (missingBytes < 0) {
      const already = head.length
      head += piece.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      status = Number(head.slice(9, 12))
      bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end + 2))?.[1] ?? Number.NaN)
      if (Number.isNaN(bodyBytes)) throw new Error('an answer without Content-Length')
      missingBytes = bodyBytes
      body = piece.subarray(end + 4 - already)
      head = ''
    }
    if (body.length > 0) keep?.(body)
    missingBytes -= body.length
    if (missingBytes > 0) return
    missingBytes = -1
    done(status, bodyBytes)
  }
}
