/** Random requests that are correct or nearly so, in parts that requests.ts then changes one by one. */

import { encodeTensors } from '../routes/adapters.ts'
import type { Chooser } from './seeded-choices.ts'

/** A request in its parts. */
export interface Draft {
  requestLine: string
  /** Header lines without their line ends. */
  headers: string[]
  lineEnd: string
  body: Buffer
  isUpdate: boolean
}

/** The tables that lookups name; the last one does not exist. */
export const TABLES = ['t', 'half', 'bytes', 'lookup', 'a.b-c_d', 'gone'] as const

/**
 * The tables of updates, whose order cannot matter: `sum` is only added to, and `kept` is set to constant
 * values.
 */
export const UPDATED = ['sum', 'kept'] as const

const RAW_QUERIES = [
  '',
  '',
  '',
  '?mode=clip',
  '?mode=wrap',
  '?mode=fill&fill_value=2',
  '?index_dtype=int32',
  '?dtype=float16',
  '?dtype=native',
] as const

/** Bodies of JSON lookups, most of which are correct. */
const JSON_LOOKUPS = [
  '{"indices":[3,1]}',
  '{"indices":[0]}',
  '{"indices":7}',
  '{"indices":[[1,2],[3,4]]}',
  ' { "indices" : [ 5 , 6 ] , "mode" : "clip" }\n',
  '{"indices":[9,-1],"mode":"fill","fill_value":null}',
  '{"indices":[9,-1],"mode":"fill","fill_value":1e-7}',
  '{"indices":[9,-1],"mode":"fill","fill_value":0.1,"dtype":"native"}',
  '{"indices":[9,-1],"mode":"wrap"}',
  '{"indices":[1],"dtype":"float16"}',
  '{"indices":[1],"dtype":"native"}',
  '{"indices":[1],"mask":true,"padding_index":1}',
  '{"indices":[1],"version":1}',
  '{"indices":[1],"version":2}',
  '{"indices":[1],"mask":true,"padding_index":99999}',
  '{"indices":[1],"include_last_offset":true}',
  '{"indices":[]}',
  '{"indices":[[],[]]}',
  '{"indices":[[1],[2,3]],"pooling":"sum"}',
  '{"indices":[1,2],"offsets":[0,1],"pooling":"mean"}',
  '{"indices":[8]}',
  '{"indices":[1.5]}',
  '{"indices":[1e0]}',
  '{"indices":["1"]}',
  '{"indices":[[1],[2,3]]}',
  '{"indices":[1],"indices":[2]}',
  '{"indices":[1],"mode":"none"}',
  '{"index":[1]}',
  '{"indices":[1,]}',
  '[1]',
  '{"indices":[1]} x',
  '{"indices":[1',
  '\xff',
] as const

const EXTRA = [
  'User-Agent: python-requests/2.32',
  'Accept-Encoding: gzip, deflate',
  'Connection: keep-alive',
  'Accept-Language: *',
  'sec-fetch-mode: cors',
] as const

const draft = (
  choose: Chooser,
  path: string,
  type: string,
  accept: string | null,
  body: Buffer,
  isUpdate = false,
): Draft => ({
  requestLine: `POST ${path} HTTP/1.1`,
  headers: [
    'Host: 127.0.0.1:8080',
    `Content-Type: ${type}`,
    ...(accept === null ? [] : [`Accept: ${accept}`]),
    `Content-Length: ${body.length}`,
    ...EXTRA.filter(() => choose.once(3)),
  ],
  lineEnd: '\r\n',
  body,
  isUpdate,
})

const JSON_ACCEPTS = ['application/json', '*/*', null] as const

const pickTable = (choose: Chooser): string => (choose.once(12) ? 'gone' : choose.pick(TABLES.slice(0, -1)))

const draftRawLookup = (choose: Chooser): Draft => {
  const body = Buffer.from(Int32Array.from({ length: 1 + choose.below(4) }, () => choose.below(8)).buffer)
  const accept = choose.once(4) ? choose.pick(JSON_ACCEPTS) : 'application/octet-stream'
  return draft(
    choose,
    `/v1/tables/${pickTable(choose)}/lookup${choose.pick(RAW_QUERIES)}`,
    'application/octet-stream',
    accept,
    body,
  )
}

const draftJsonLookup = (choose: Chooser): Draft => {
  const query = choose.pick(['', '', '', '?version=1', '?version=2', '?mode=clip'])
  const accept = choose.once(6) ? 'application/octet-stream' : choose.pick(JSON_ACCEPTS)
  const body = Buffer.from(
    choose.once(2) ? choose.pick(JSON_LOOKUPS.slice(0, 14)) : choose.pick(JSON_LOOKUPS),
    'latin1',
  )
  return draft(choose, `/v1/tables/${pickTable(choose)}/lookup${query}`, 'application/json', accept, body)
}

/** Drafts an update of whole numbers and halves, whose float32 sums are exact in any order. */
const draftUpdate = (choose: Chooser): Draft => {
  const route = choose.once(2) ? 'gradients' : 'rows'
  const isSet = route === 'rows' && choose.once(2)
  const indices = Array.from({ length: choose.below(4) }, () => choose.below(8))
  if (choose.once(8)) indices.push(choose.pick([8, -1]))
  const rows = indices.map((index) =>
    [0, 1, 2, 3].map((column) => (isSet ? index * 10 + column : choose.below(3) - 1)),
  )
  if (choose.once(12)) rows.push([0, 0, 0, 0])
  if (choose.once(12) && rows.length > 0) rows[0] = rows[0].slice(1)
  const rate = choose.pick([undefined, 0.5, 1])
  const values = route === 'rows' ? 'values' : 'gradients'
  const table = choose.once(12) ? choose.pick(['gone', 'bytes']) : isSet ? 'kept' : 'sum'
  const accept = choose.pick(JSON_ACCEPTS)
  if (choose.once(2)) {
    const members = { ...(route === 'rows' && { op: isSet ? 'set' : 'add' }), indices, [values]: rows }
    const body = Buffer.from(
      JSON.stringify(route === 'rows' || rate === undefined ? members : { ...members, learning_rate: rate }),
    )
    return draft(choose, `/v1/tables/${table}/${route}`, 'application/json', accept, body, true)
  }
  const flat = rows.flat()
  const whole = flat.length === rows.length * 4
  const body = encodeTensors({
    [values]: { shape: whole ? [rows.length, 4] : [flat.length], values: flat },
    indices: { shape: [indices.length], values: indices, elementType: choose.pick(['int32', 'int64']) },
  })
  const rateQuery = rate === undefined ? '' : `?learning_rate=${rate}`
  const query =
    route === 'rows'
      ? choose.pick([isSet ? '?op=set' : '?op=add', isSet ? '?op=set' : '?op=add', '', '?op=none'])
      : rateQuery
  return draft(
    choose,
    `/v1/tables/${table}/${route}${query}`,
    'application/x-safetensors',
    accept,
    body,
    true,
  )
}

/** Drafts a request that is correct or nearly so. */
export const draftRequest = (choose: Chooser): Draft => {
  const kind = choose.below(6)
  if (kind < 3) return draftRawLookup(choose)
  return kind === 3 ? draftJsonLookup(choose) : draftUpdate(choose)
}
