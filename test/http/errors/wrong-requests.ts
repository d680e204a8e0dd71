import type { ErrorCode } from '../../../src/core/errors.ts'
import { LIMITS } from '../../../src/core/limits.ts'
import { writeNpyHeader } from '../../../src/formats/npy.ts'
import type { App } from '../../../src/http/context.ts'

/** A request that must be refused. */
export interface Wrong {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  url?: string
  type?: string
  headers?: Record<string, string>
  payload?: object | string | Buffer
  code: ErrorCode
  /** Of the first place. */
  pointer?: string
  detail?: RegExp
}

const npy = (elementType: Parameters<typeof writeNpyHeader>[0], shape: number[], data: Buffer): Buffer =>
  Buffer.concat([writeNpyHeader(elementType, shape), data])
const floats = (...values: number[]) => Buffer.from(new Float32Array(values).buffer)
export const LOOKUP = '/v1/tables/t/lookup'
export const TABLE = '/v1/tables/t'
const RAW = 'application/octet-stream'
const NPY = 'application/x-npy'
const SAFE = 'application/x-safetensors'

/** One request a line, and the code that it must get. */
export const WRONG: Record<string, Wrong> = {
  'a body that is no JSON': { url: LOOKUP, payload: '{"indices":[1,', code: 'MALFORMED_BODY' },
  'no body at all': { url: LOOKUP, code: 'MALFORMED_BODY' },
  'no body at all, in an upload': { method: 'PUT', url: TABLE, code: 'MALFORMED_BODY' },
  'no body at all, in a change of settings': { method: 'PATCH', url: TABLE, code: 'MALFORMED_BODY' },
  'an empty JSON body': { url: LOOKUP, payload: '', code: 'MALFORMED_BODY' },
  'a JSON body that is no object': { url: LOOKUP, payload: '[1,2]', code: 'INVALID_REQUEST' },
  'JSON nested too deep': {
    url: LOOKUP,
    payload: `{"indices":${'['.repeat(40)}1${']'.repeat(40)}}`,
    code: 'MALFORMED_BODY',
  },
  'a body that is no npy': {
    url: LOOKUP,
    type: NPY,
    payload: Buffer.from('not npy at all'),
    code: 'MALFORMED_BODY',
  },
  'a cut safetensors body': {
    url: LOOKUP,
    type: SAFE,
    payload: Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 0x7b]),
    code: 'MALFORMED_BODY',
  },
  'raw ids that end inside an id': {
    url: LOOKUP,
    type: RAW,
    payload: Buffer.alloc(7),
    code: 'MALFORMED_BODY',
  },

  'an unknown member': {
    url: LOOKUP,
    payload: { indices: [0], modes: 'clip' },
    code: 'INVALID_REQUEST',
    pointer: '/modes',
  },
  'an unknown mode': {
    url: LOOKUP,
    payload: { indices: [0], mode: 'raise' },
    code: 'INVALID_REQUEST',
    pointer: '/mode',
  },
  'no indices': { url: LOOKUP, payload: {}, code: 'INVALID_REQUEST', pointer: '/indices' },
  'pooling over flat ids without offsets': {
    url: LOOKUP,
    payload: { indices: [0], pooling: 'sum' },
    code: 'INVALID_REQUEST',
    pointer: '/offsets',
  },
  'an unknown query parameter': {
    url: `${LOOKUP}?versions=1`,
    payload: { indices: [0] },
    code: 'INVALID_REQUEST',
    pointer: '/versions',
  },
  'a query parameter of the wrong type': {
    url: `${LOOKUP}?version=1.0`,
    payload: { indices: [0] },
    code: 'INVALID_REQUEST',
    pointer: '/version',
  },
  'a query parameter that is given twice': {
    url: `${LOOKUP}?version=1&version=1`,
    payload: { indices: [0] },
    code: 'INVALID_REQUEST',
    pointer: '/version',
  },
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
  'a Content-Digest that is none': {
    method: 'PUT',
    url: TABLE,
    headers: { 'content-digest': 'sha-256=x' },
    payload: { rows: 1, dim: 1 },
    code: 'INVALID_REQUEST',
  },
  'a deadline that is no number': {
    method: 'GET',
    url: TABLE,
    headers: { 'x-request-timeout-ms': 'soon' },
    code: 'INVALID_REQUEST',
  },
  'a specification without a size': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 3 },
    code: 'INVALID_REQUEST',
    pointer: '/dim',
  },
  'a specification with values and an initializer': {
    method: 'PUT',
    url: TABLE,
    payload: { values: [[1]], initializer: { kind: 'zeros' } },
    code: 'INVALID_REQUEST',
    pointer: '/initializer',
  },
  'a specification with a query': {
    method: 'PUT',
    url: `${TABLE}?dtype=float16`,
    payload: { rows: 1, dim: 1 },
    code: 'INVALID_REQUEST',
    pointer: '/dtype',
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
  'raw data without a size': {
    method: 'PUT',
    url: TABLE,
    type: RAW,
    payload: floats(1),
    code: 'INVALID_REQUEST',
  },
  'an option of another format': {
    method: 'PUT',
    url: `${TABLE}?rows=1`,
    type: NPY,
    payload: npy('float32', [1, 1], floats(1)),
    code: 'INVALID_REQUEST',
  },
  'an optimizer in the query that is no JSON': {
    method: 'PUT',
    url: `${TABLE}?optimizer={`,
    type: NPY,
    payload: npy('float32', [1, 1], floats(1)),
    code: 'INVALID_REQUEST',
    pointer: '/optimizer',
  },
  'an unknown optimizer in the query': {
    method: 'PUT',
    url: `${TABLE}?optimizer=lamb`,
    type: NPY,
    payload: npy('float32', [1, 1], floats(1)),
    code: 'INVALID_REQUEST',
    pointer: '/optimizer/kind',
  },
  'an update without op': {
    url: `${TABLE}/rows`,
    payload: { indices: [0], values: [[1, 2]] },
    code: 'INVALID_REQUEST',
    pointer: '/op',
  },
  'a body with DELETE': { method: 'DELETE', url: TABLE, payload: { force: true }, code: 'INVALID_REQUEST' },

  'a lookup in no table': {
    url: '/v1/tables/none/lookup',
    payload: { indices: [0] },
    code: 'TABLE_NOT_FOUND',
  },
  'the description of no table': { method: 'GET', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'the data of no table': { method: 'GET', url: '/v1/tables/none/data', code: 'TABLE_NOT_FOUND' },
  'the rows of no table': { method: 'GET', url: '/v1/tables/none/rows', code: 'TABLE_NOT_FOUND' },
  'deleting no table': { method: 'DELETE', url: '/v1/tables/none', code: 'TABLE_NOT_FOUND' },
  'settings of no table': { method: 'PATCH', url: '/v1/tables/none', payload: {}, code: 'TABLE_NOT_FOUND' },
  'gradients for no table': {
    url: '/v1/tables/none/gradients',
    payload: { indices: [0], gradients: [[1, 1]] },
    code: 'TABLE_NOT_FOUND',
  },
  'a name of Object': { method: 'GET', url: '/v1/tables/constructor', code: 'TABLE_NOT_FOUND' },
  'an upload that is not there': {
    method: 'GET',
    url: `${TABLE}/uploads/${'f'.repeat(32)}`,
    code: 'UPLOAD_NOT_FOUND',
  },
  'a version that is not kept': {
    url: `${LOOKUP}?version=99`,
    payload: { indices: [0] },
    code: 'VERSION_NOT_FOUND',
  },
  'an unknown path': { method: 'GET', url: '/v2/none', code: 'ROUTE_NOT_FOUND' },
  'an unknown path with a body': { url: '/v1/tables/t/none', payload: { a: 1 }, code: 'ROUTE_NOT_FOUND' },
  'a path with a slash too many': { method: 'GET', url: `${TABLE}/`, code: 'ROUTE_NOT_FOUND' },
  'a method that the path has not': { url: TABLE, payload: {}, code: 'METHOD_NOT_ALLOWED' },

  'an Accept that no lookup has': {
    url: LOOKUP,
    payload: { indices: [0] },
    headers: { accept: 'text/html' },
    code: 'NOT_ACCEPTABLE',
  },
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
  'a body without a type': {
    url: LOOKUP,
    type: '',
    payload: Buffer.from('{"indices":[0]}'),
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  'an unknown type': {
    url: LOOKUP,
    type: 'text/csv',
    payload: 'x',
    code: 'UNSUPPORTED_MEDIA_TYPE',
    detail: /application\/x-npy/,
  },
  'a type that another route reads': {
    method: 'PATCH',
    url: TABLE,
    type: NPY,
    payload: Buffer.alloc(9),
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  'a type that cannot be read': {
    url: LOOKUP,
    type: 'application/js on',
    payload: 'x',
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  'a compressed lookup': {
    url: LOOKUP,
    payload: { indices: [0] },
    headers: { 'content-encoding': 'gzip' },
    code: 'UNSUPPORTED_MEDIA_TYPE',
    detail: /gzip/,
  },
  'a compressed upload': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: Buffer.alloc(9),
    headers: { 'content-encoding': 'identity, br' },
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },

  'a replacement of another version': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 1, dim: 1 },
    headers: { 'if-match': '"9"' },
    code: 'PRECONDITION_FAILED',
  },
  'a creation of what exists': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 1, dim: 1 },
    headers: { 'if-none-match': '*' },
    code: 'PRECONDITION_FAILED',
  },
  'an upload over what exists': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('float32', [1, 1], floats(1)),
    headers: { 'if-none-match': '*' },
    code: 'PRECONDITION_FAILED',
  },
  'a weak tag': {
    method: 'DELETE',
    url: TABLE,
    headers: { 'if-match': 'W/"1-0"' },
    code: 'PRECONDITION_FAILED',
  },
  'an update of another sequence': {
    url: `${TABLE}/gradients`,
    payload: { indices: [0], gradients: [[1, 1]] },
    headers: { 'if-match': '"1-77"' },
    code: 'PRECONDITION_FAILED',
  },
  'a download of another version': {
    method: 'GET',
    url: `${TABLE}/data`,
    headers: { 'if-match': '"8"' },
    code: 'PRECONDITION_FAILED',
  },

  'a lookup body that is too large': {
    url: LOOKUP,
    type: RAW,
    payload: Buffer.alloc(LIMITS.lookupBodyBytesMax + 4),
    code: 'BODY_TOO_LARGE',
    detail: /4194304/,
  },
  'an update body that is too large': {
    url: `${TABLE}/rows?op=set`,
    type: SAFE,
    payload: Buffer.alloc(LIMITS.updateBodyBytesMax + 1),
    code: 'BODY_TOO_LARGE',
    detail: /16777216/,
  },
  'a specification that is too large': {
    method: 'PUT',
    url: TABLE,
    payload: ' '.repeat(LIMITS.specificationBodyBytesMax + 1),
    code: 'BODY_TOO_LARGE',
  },
  'too many ids': {
    url: LOOKUP,
    type: RAW,
    payload: Buffer.alloc((LIMITS.lookupIndexCountMax + 1) * 4),
    code: 'BATCH_TOO_LARGE',
    detail: /65536/,
  },

  'an id outside': {
    url: LOOKUP,
    payload: { indices: [0, 2] },
    code: 'INDEX_OUT_OF_RANGE',
    pointer: '/indices/1',
  },
  'an id outside, in an update': {
    url: `${TABLE}/gradients`,
    payload: { indices: [-1], gradients: [[1, 1]] },
    code: 'INDEX_OUT_OF_RANGE',
    pointer: '/indices/0',
  },
  'ragged ids': { url: LOOKUP, payload: { indices: [[0, 1], [0]] }, code: 'SHAPE_MISMATCH' },
  'ids that are not as many as the shape has': {
    url: `${LOOKUP}?shape=3`,
    type: RAW,
    payload: Buffer.alloc(8),
    code: 'SHAPE_MISMATCH',
  },
  'gradients of another dim': {
    url: `${TABLE}/gradients`,
    payload: { indices: [0], gradients: [[1, 1, 1]] },
    code: 'SHAPE_MISMATCH',
  },
  'values that are no rows': {
    method: 'PUT',
    url: TABLE,
    payload: { values: [1, 2] },
    code: 'SHAPE_MISMATCH',
  },
  'values that are ragged': {
    method: 'PUT',
    url: TABLE,
    payload: { values: [[1, 2], [3]] },
    code: 'SHAPE_MISMATCH',
  },
  'values that rows contradict': {
    method: 'PUT',
    url: TABLE,
    payload: { values: [[1, 2]], rows: 2 },
    code: 'SHAPE_MISMATCH',
  },
  'an array of one dimension': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('float32', [2], floats(1, 2)),
    code: 'SHAPE_MISMATCH',
  },
  'data that is shorter than its header says': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('float32', [2, 2], floats(1, 2, 3)),
    code: 'MALFORMED_BODY',
  },
  'data that is longer': {
    method: 'PUT',
    url: `${TABLE}?rows=1&dim=2`,
    type: RAW,
    payload: floats(1, 2, 3),
    code: 'MALFORMED_BODY',
  },
  'float ids': { url: LOOKUP, type: NPY, payload: npy('float32', [1], floats(1)), code: 'DTYPE_MISMATCH' },
  'integers without a storage dtype': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('int32', [1, 1], Buffer.alloc(4)),
    code: 'DTYPE_MISMATCH',
  },
  'NaN in data': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('float32', [1, 2], floats(1, Number.NaN)),
    code: 'NON_FINITE',
  },
  'infinity in an update': {
    url: `${TABLE}/rows`,
    payload: '{"op":"set","indices":[0],"values":[[1e39,0]]}',
    code: 'NON_FINITE',
  },
  'a setting beyond float32': {
    method: 'PATCH',
    url: TABLE,
    payload: { fill_value: 1e39 },
    code: 'NON_FINITE',
    pointer: '/fill_value',
  },
  'a value beyond float16': {
    method: 'PUT',
    url: TABLE,
    payload: { values: [[70_000]], dtype: 'float16' },
    code: 'NON_FINITE',
    pointer: '/values/0/0',
  },
  'another digest than announced': {
    method: 'PUT',
    url: TABLE,
    type: NPY,
    payload: npy('float32', [1, 1], floats(1)),
    headers: { 'content-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` },
    code: 'DIGEST_MISMATCH',
  },
  'another digest than announced, in JSON': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 1, dim: 1 },
    headers: { 'content-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` },
    code: 'DIGEST_MISMATCH',
  },

  'a deadline that has passed': {
    url: LOOKUP,
    payload: { indices: [0] },
    headers: { 'x-request-timeout-ms': '0' },
    code: 'DEADLINE_EXCEEDED',
  },
  'an upload after its deadline': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 1, dim: 1 },
    headers: { 'x-request-timeout-ms': '0' },
    code: 'DEADLINE_EXCEEDED',
  },
  'more memory than there is': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 9_000_000, dim: 1 },
    code: 'MEMORY_QUOTA_EXCEEDED',
  },
  'the largest table that can be asked for': {
    method: 'PUT',
    url: TABLE,
    payload: { rows: 2 ** 31 - 2, dim: 65_536 },
    code: 'MEMORY_QUOTA_EXCEEDED',
  },
}

/** Sends it as it is. */
export const sendWrong = (app: App, { method = 'POST', url = '/', type, headers = {}, payload }: Wrong) => {
  const given = type ?? (payload === undefined ? '' : 'application/json')
  return app.inject({
    method,
    url,
    headers: { ...(given !== '' && { 'content-type': given }), ...headers },
    payload,
  })
}
