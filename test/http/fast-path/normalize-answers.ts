/**
 * Removes from the bytes of an answer what may differ between two servers, so that tests can compare the
 * rest.
 */

/**
 * Matches the answer to an update, whose sequence varies because the updates of several connections have no
 * order.
 */
const UPDATE = new RegExp(
  String.raw`etag: "1-\d+"\r\n(x-table-version: 1\r\n)x-table-sequence: \d+\r\n` +
    String.raw`(cache-control: no-store\r\ncontent-type: [^\r]*\r\n)content-length: \d+` +
    String.raw`((?:\r\n[^\r]+)*\r\n\r\n\{"table":"[^"]*","version":1,"sequence":)\d+`,
  'g',
)

/**
 * Normalizes the answers of a server: it replaces the time, the sequence after an update and the request ids,
 * on whose length the length of a problem depends, and removes interim answers.
 */
export const normalizeAnswers = (sent: Buffer): string =>
  sent
    .toString('latin1')
    // Node writes it between the head and the body of the previous answer of the connection.
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
