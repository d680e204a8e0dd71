/** The answer to an update, from its state to its body: updates of several connections come in any order. */
const UPDATE =
  /etag: "1-\d+"\r\n(x-table-version: 1\r\n)x-table-sequence: \d+\r\n(cache-control: no-store\r\ncontent-type: [^\r]*\r\n)content-length: \d+((?:\r\n[^\r]+)*\r\n\r\n\{"table":"[^"]*","version":1,"sequence":)\d+/g

/**
 * What a server has written, without what may differ between two servers: the time, the sequence after an update, and the ids that requests
 * get on arrival, on whose length that of a problem depends. Interim answers are left out.
 */
export const normalizeAnswers = (sent: Buffer): string =>
  sent
    .toString('latin1')
    // Node writes this one between the head and the body of an answer that the same connection still waits for.
    .replaceAll('HTTP/1.1 100 Continue\r\n\r\n', '')
    .replace(/\r\nDate: [^\r]*/g, '\r\nDate: now')
    .replace(/\r\nx-request-id: [^\r]*/g, '\r\nx-request-id: id')
    .replace(
      /(\r\ncontent-type: application\/problem\+json(?:\r\n[a-z-]+: [^\r]*)*?\r\ncontent-length: )\d+/g,
      '$1some',
    )
    .replace(/"instance":"[^"]*"/g, '"instance":"id"')
    .replace(UPDATE, '$1$2$3')
    .replace(/the table is at \\"1-\d+/g, 'the table is at \\"1')
    .replace(/under the request id [^"]*/g, 'under its id')
