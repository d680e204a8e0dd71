/**
 * The floor of node:http: reads each request, looks nothing up, and answers as many bytes of one buffer as
 * the last `?reply=` said.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const REPLY_BYTES_MAX = 64 * 1_024 * 1_024
const reply = Buffer.alloc(REPLY_BYTES_MAX, 'x')
let replyBytes = 2

const server = createServer((request, response) => {
  const asked = request.url?.split('?reply=')[1]
  if (asked !== undefined) replyBytes = Number(asked)
  request.resume()
  request.once('end', () => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': replyBytes })
    response.end(reply.subarray(0, replyBytes))
  })
})
server.listen(0, '127.0.0.1', () =>
  console.log(`null-http answers at http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
process.once('SIGTERM', () => process.exit(0))
