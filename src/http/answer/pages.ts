/** The HTML pages that the service shows to people: its start page and the page of error codes. */
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { TableInfo } from '../../core/types.ts'

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
  --soft: color-mix(in srgb, currentColor 62%, transparent) }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 58rem; margin: 3rem auto; padding: 0 1.25rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p.lead { color: var(--soft); margin: .3rem 0 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top }
th { font-weight: 600; font-size: .85rem; color: var(--soft) }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
code, pre { font: .88rem/1.5 ui-monospace, monospace }
pre { padding: .9rem 1.1rem; border: 1px solid var(--line); border-radius: .5rem; white-space: pre-wrap }
h1, p, pre, td, code { overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem } nav a { white-space: nowrap } tr:target { background: color-mix(in srgb, gold 30%, transparent) }
@media (max-width: 40rem) {
  body { margin: 1.5rem auto } thead { display: none }
  table, tbody, tr, td { display: block } tr { padding: .6rem 0; border-bottom: 1px solid var(--line) }
  td { display: flex; gap: .8rem; padding: .1rem 0; border: 0 }
  td::before { content: attr(data-name); flex: 0 0 8.4rem; font-size: .85rem; color: var(--soft) }
}
`

/** Escapes text for HTML, attributes included. */
export const escapeHtml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')

const renderPage = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><link rel="icon" href="data:,"><style>${STYLE}</style></head>
<body>
${body}
</body>
</html>
`

const LINKS =
  '<nav><a href="/docs">Try the API</a><a href="/openapi.json">OpenAPI</a><a href="/docs/errors">Errors</a>' +
  '<a href="/v1/limits">Limits</a><a href="/readyz">Readiness</a></nav>'

/** A cell of a table, with the name of its column, which narrow screens show beside it. */
interface Cell {
  column: string
  html: string
  isNumber?: boolean
}

const renderRow = (cells: readonly Cell[], id = ''): string => {
  const shown = cells.map(
    ({ column, html, isNumber = false }) =>
      `<td${isNumber ? ' class="number"' : ''} data-name="${column}"><div>${html}</div></td>`,
  )
  return `<tr${id === '' ? '' : ` id="${id}"`}>${shown.join('')}</tr>`
}

const renderTable = (columns: readonly string[], rows: readonly string[]): string =>
  `<table><thead><tr>${columns.map((column) => `<th>${column}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`

/** The contents of the service page. */
export interface ServicePage {
  version: string
  /** The address `http://host:port` by which the reader reached the service. */
  address: string
  state: string
  tables: readonly TableInfo[]
  tableCount: number
}

const TABLE_COLUMNS = ['Name', 'Rows &times; dim', 'Stored as', 'Size', 'Version-sequence']

/** Renders the page at `/`: the state of the service, its tables and three first commands. */
export const renderServicePage = ({ version, address, state, tables, tableCount }: ServicePage): string => {
  const rows = tables.map(({ name, rows, dim, dtype, version, sequence, bytes }) => {
    const at = escapeHtml(name)
    const values = [
      `<a href="/v1/tables/${at}">${at}</a>`,
      `${rows} &times; ${dim}`,
      dtype,
      formatBytes(bytes),
      `${version}-${sequence}`,
    ]
    const isNumber = (i: number): boolean => i !== 0 && i !== 2
    return renderRow(values.map((html, i) => ({ column: TABLE_COLUMNS[i], html, isNumber: isNumber(i) })))
  })
  const more =
    tableCount > tables.length
      ? `<p>and ${tableCount - tables.length} more: <a href="/v1/tables">/v1/tables</a></p>`
      : ''
  const list =
    rows.length === 0
      ? '<p>There are none yet. The first command makes one.</p>'
      : `${renderTable(TABLE_COLUMNS, rows)}${more}`
  const at = escapeHtml(address)
  return renderPage(
    'gatherd',
    `<h1>gatherd ${escapeHtml(version)}</h1>
<p class="lead">Embedding tables over HTTP: upload a matrix, look rows up in batches, push gradients back.
This one is ${escapeHtml(state)}.</p>
<h2>Links</h2>
${LINKS}
<h2>Tables</h2>
${list}
<h2>First steps</h2>
<pre>curl -X PUT ${at}/v1/tables/words -H 'content-type: application/json' \\
  -d '{"values": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9], [1, 1.1, 1.2]]}'

curl -X POST ${at}/v1/tables/words/lookup -H 'content-type: application/json' \\
  -d '{"indices": [2, 0]}'

curl -X POST ${at}/v1/tables/words/gradients -H 'content-type: application/json' \\
  -d '{"indices": [2], "gradients": [[1, 1, 1]]}'</pre>`,
  )
}

const formatBytes = (bytes: number): string => {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}

/** The remedy for each error, for people. */
export const REMEDIES: Record<ErrorCode, string> = {
  MALFORMED_BODY: 'Send a body that is what its Content-Type says, complete, and as long as announced.',
  INVALID_REQUEST:
    'Compare the request with the document; <code>errors</code> points to each place that does not fit.',
  UNAUTHENTICATED: 'Send a key.',
  FORBIDDEN: 'Ask for a key that allows this.',
  TABLE_NOT_FOUND: 'Check the name, or create the table with PUT.',
  VERSION_NOT_FOUND: 'Ask for a version that is still kept, or for none to get the current one.',
  ALIAS_NOT_FOUND: 'Check the name, or create the alias.',
  UPLOAD_NOT_FOUND:
    'Check id and table, or begin a new upload: an upload without activity is removed after a day.',
  ROUTE_NOT_FOUND: 'Check the path.',
  METHOD_NOT_ALLOWED: 'Use one of the methods in the <code>Allow</code> header.',
  NOT_ACCEPTABLE: 'Ask for one of the types that the detail lists.',
  IDEMPOTENCY_IN_FLIGHT: 'Wait for the first request with this key, then send this one again.',
  PRECONDITION_FAILED: 'Read the table again and decide anew.',
  BODY_TOO_LARGE: 'Send less at once; the detail names the limit.',
  BATCH_TOO_LARGE: 'Split the batch; the detail names the limit.',
  UNSUPPORTED_MEDIA_TYPE: 'Send one of the types that the detail lists, without Content-Encoding.',
  INDEX_OUT_OF_RANGE: 'Use ids from 0 to rows - 1, or a mode that accepts other ids.',
  SHAPE_MISMATCH: 'Make the shapes fit; the detail names both.',
  DTYPE_MISMATCH: 'Convert the numbers, or choose another dtype.',
  NON_FINITE:
    'Remove NaN, infinity and numbers beyond the dtype; ' +
    'an upload may allow NaN and infinity by <code>?allow_non_finite=true</code>.',
  DIGEST_MISMATCH: 'The body was damaged on the way: send it again.',
  IDEMPOTENCY_MISMATCH: 'Use a new key for a new request.',
  RATE_LIMITED: 'Wait as long as <code>Retry-After</code> says.',
  CODING_NOT_SUPPORTED: 'Send the body as it is, with Content-Length or in chunks.',
  VERSION_NOT_SUPPORTED: 'Send HTTP/1.1, or put a proxy in front that does.',
  INTERNAL: 'Report it, with the request id.',
  OVERLOADED: 'Wait as long as <code>Retry-After</code> says, and send fewer or smaller requests at a time.',
  NOT_READY: 'Wait until <code>/readyz</code> answers 200.',
  SHUTTING_DOWN: 'Send the request to another instance, or wait for this one to come back.',
  DEADLINE_EXCEEDED: 'Allow more time, or send the request when the service has less to do.',
  MEMORY_QUOTA_EXCEEDED: 'Delete a table, keep fewer versions, use a smaller dtype, or raise the quota.',
  DISK_FULL: 'Make room on the disk; updates resume by themselves.',
}

const ERROR_COLUMNS = ['Code', 'Status', 'Means', 'What to do', 'Retry unchanged']

/** Renders the page of error codes, which the `type` of every problem points to. */
export const renderErrorsPage = (): string => {
  const rows = Object.entries(ERRORS).map(([code, { status, title, retryable }]) => {
    const remedy = REMEDIES[code as ErrorCode]
    const values = [`<code>${code}</code>`, String(status), `${title}.`, remedy, retryable ? 'yes' : 'no']
    return renderRow(
      values.map((html, i) => ({ column: ERROR_COLUMNS[i], html, isNumber: i === 1 })),
      code,
    )
  })
  return renderPage(
    'gatherd: errors',
    `<h1>Errors</h1>
<p class="lead">Every error is <code>application/problem+json</code> (RFC 9457).
Programs should look at <code>code</code>; <code>instance</code> is the request id.</p>
<h2>Codes</h2>
${renderTable(ERROR_COLUMNS, rows)}
<h2>Links</h2>
${LINKS}`,
  )
}
