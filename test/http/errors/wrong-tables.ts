/**
 * Lists wrong requests about tables, settings and unknown paths with the errors that they must get.
 * request-errors.test.ts sends them.
 */
import { NPY, TABLE, type Wrong } from './wrong.ts'

/** Requests that must be refused, with the error code of each. The key names what is wrong. */
export const WRONG_TABLES: Record<string, Wrong> = {
  'no body in a change of settings': { method: 'PATCH', url: TABLE, code: 'MALFORMED_BODY' },
  'an invalid table name': {
    method: 'GET',
    url: '/v1/tables/.hidden',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a table name that is valid only before decoding': {
    method: 'GET',
    url: '/v1/tables/a%2Fb',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a table name that is valid only when it is decoded twice': {
    method: 'GET',
    url: '/v1/tables/a%252Eb',
    code: 'INVALID_REQUEST',
    pointer: '/table',
  },
  'a path that cannot be decoded': { method: 'GET', url: '/v1/tables/%zz', code: 'INVALID_REQUEST' },
  'a cursor that the service did not issue': {
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
  'an If-Match that is not an entity tag': {
    method: 'DELETE',
    url: TABLE,
    headers: { 'if-match': '1-0' },
    code: 'INVALID_REQUEST',
  },
  'a deadline that is not a number': {
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
  'the description of a missing table': { method: 'GET', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'the data of a missing table': { method: 'GET', url: '/v1/tables/none/data', code: 'TABLE_NOT_FOUND' },
  'the rows of a missing table': { method: 'GET', url: '/v1/tables/none/rows', code: 'TABLE_NOT_FOUND' },
  'the deletion of a missing table': { method: 'DELETE', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'settings of a missing table': {
    method: 'PATCH',
    url: '/v1/tables/none',
    payload: {},
    code: 'TABLE_NOT_FOUND',
  },
  'a table name that is a member of Object': {
    method: 'GET',
    url: '/v1/tables/constructor',
    code: 'TABLE_NOT_FOUND',
  },
  'a missing upload': {
    method: 'GET',
    url: `${TABLE}/uploads/${'f'.repeat(32)}`,
    code: 'UPLOAD_NOT_FOUND',
  },
  'an unknown path': { method: 'GET', url: '/v2/none', code: 'ROUTE_NOT_FOUND' },
  'an unknown path with a body': { url: '/v1/tables/t/none', payload: { a: 1 }, code: 'ROUTE_NOT_FOUND' },
  'a path with an extra slash': { method: 'GET', url: `${TABLE}/`, code: 'ROUTE_NOT_FOUND' },
  'a method that the path does not have': { url: TABLE, payload: {}, code: 'METHOD_NOT_ALLOWED' },
  'an Accept without a type of a table description': {
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
  'a body type that only another route reads': {
    method: 'PATCH',
    url: TABLE,
    type: NPY,
    payload: Buffer.alloc(9),
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  'a weak entity tag': {
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
