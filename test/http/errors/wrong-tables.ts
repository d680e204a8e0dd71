import { NPY, TABLE, type Wrong } from './wrong.ts'

/**
 * Requests about tables and their settings, and paths that no route has, that must be refused. One request a
 * line, and the code that it must get.
 */
export const WRONG_TABLES: Record<string, Wrong> = {
  'no body at all, in a change of settings': { method: 'PATCH', url: TABLE, code: 'MALFORMED_BODY' },
  'a name that is none': {
    method: 'GET',
    url: '/v1/tables/.hidden',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a name that is one only before decoding': {
    method: 'GET',
    url: '/v1/tables/a%2Fb',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a name that is decoded once': {
    method: 'GET',
    url: '/v1/tables/a%252Eb',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a path that cannot be decoded': { method: 'GET', url: '/v1/tables/%zz', code: 'INVALID_REQUEST' },
  'a cursor that was not given out': {
    method: 'GET',
    url: '/v1/tables?cursor=!!',
    code: 'INVALID_REQUEST',
    pointer: '/cursor',
  },
  'a page that is too large': {
    method: 'GET',
    url: `${TABLE}/rows?limit=1001`,
    code: 'INVALID_REQUEST',
    pointer: '/limit',
  },
  'an If-Match that is no entity tag': {
    method: 'DELETE',
    url: TABLE,
    headers: { 'if-match': '1-0' },
    code: 'INVALID_REQUEST',
  },
  'a deadline that is no number': {
    method: 'GET',
    url: TABLE,
    headers: { 'x-request-timeout-ms': 'soon' },
    code: 'INVALID_REQUEST',
  },
  'an optimizer with two constraints': {
    method: 'PATCH',
    url: TABLE,
    payload: { optimizer: { kind: 'sgd', max_norm: 1, constraint: { kind: 'unit_norm' } } },
    code: 'INVALID_REQUEST',
    pointer: '/optimizer/max_norm',
  },
  'a padding index outside the table': {
    method: 'PATCH',
    url: TABLE,
    payload: { padding_index: 2 },
    code: 'INVALID_REQUEST',
    pointer: '/padding_index',
  },
  'a body with DELETE': { method: 'DELETE', url: TABLE, payload: { force: true }, code: 'INVALID_REQUEST' },
  'the description of no table': { method: 'GET', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'the data of no table': { method: 'GET', url: '/v1/tables/none/data', code: 'TABLE_NOT_FOUND' },
  'the rows of no table': { method: 'GET', url: '/v1/tables/none/rows', code: 'TABLE_NOT_FOUND' },
  'deleting no table': { method: 'DELETE', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'settings of no table': { method: 'PATCH', url: '/v1/tables/none', payload: {}, code: 'TABLE_NOT_FOUND' },
  'a name of Object': { method: 'GET', url: '/v1/tables/constructor', code: 'TABLE_NOT_FOUND' },
  'an upload that is not there': {
    method: 'GET',
    url: `${TABLE}/uploads/${'f'.repeat(32)}`,
    code: 'UPLOAD_NOT_FOUND',
  },
  'an unknown path': { method: 'GET', url: '/v2/none', code: 'ROUTE_NOT_FOUND' },
  'an unknown path with a body': { url: '/v1/tables/t/none', payload: { a: 1 }, code: 'ROUTE_NOT_FOUND' },
  'a path with a slash too many': { method: 'GET', url: `${TABLE}/`, code: 'ROUTE_NOT_FOUND' },
  'a method that the path has not': { url: TABLE, payload: {}, code: 'METHOD_NOT_ALLOWED' },
  'an Accept that no description has': {
    method: 'GET',
    url: TABLE,
    headers: { accept: NPY },
    code: 'NOT_ACCEPTABLE',
  },
  'bfloat16 as npy': {
    method: 'GET',
    url: '/v1/tables/b/data',
    headers: { accept: NPY },
    code: 'NOT_ACCEPTABLE',
  },
  'a type that another route reads': {
    method: 'PATCH',
    url: TABLE,
    type: NPY,
    payload: Buffer.alloc(9),
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  'a weak tag': {
    method: 'DELETE',
    url: TABLE,
    headers: { 'if-match': 'W/"1-0"' },
    code: 'PRECONDITION_FAILED',
  },
  'a download of another version': {
    method: 'GET',
    url: `${TABLE}/data`,
    headers: { 'if-match': '"8"' },
    code: 'PRECONDITION_FAILED',
  },
  'a setting beyond float32': {
    method: 'PATCH',
    url: TABLE,
    payload: { fill_value: 1e39 },
    code: 'NON_FINITE',
    pointer: '/fill_value',
  },
}
