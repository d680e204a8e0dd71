/** Lists wrong lookups with the errors that they must get. request-errors.test.ts sends them. */
import { LIMITS } from '../../../src/core/limits.ts'
import { floats, LOOKUP, npy, NPY, RAW, SAFE, type Wrong } from './wrong.ts'

/** Lookups that must be refused, with the error code of each. The key names what is wrong. */
export const WRONG_LOOKUPS: Record<string, Wrong> = {
  'a body that is not JSON': { url: LOOKUP, payload: '{"indices":[1,', code: 'MALFORMED_BODY' },
  'no body at all': { url: LOOKUP, code: 'MALFORMED_BODY' },
  'an empty JSON body': { url: LOOKUP, payload: '', code: 'MALFORMED_BODY' },
  'a JSON body that is not an object': { url: LOOKUP, payload: '[1,2]', code: 'INVALID_REQUEST' },
  'JSON nested too deep': {
    url: LOOKUP,
    payload: `{"indices":${'['.repeat(40)}1${']'.repeat(40)}}`,
    code: 'MALFORMED_BODY',
  },
  'a body that is not npy': {
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
  'a lookup in a missing table': {
    url: '/v1/tables/none/lookup',
    payload: { indices: [0] },
    code: 'TABLE_NOT_FOUND',
  },
  'a version that is not kept': {
    url: `${LOOKUP}?version=99`,
    payload: { indices: [0] },
    code: 'VERSION_NOT_FOUND',
  },
  'an Accept without a type of a lookup': {
    url: LOOKUP,
    payload: { indices: [0] },
    headers: { accept: 'text/html' },
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
  'a lookup body that is too large': {
    url: LOOKUP,
    type: RAW,
    payload: Buffer.alloc(LIMITS.lookupBodyBytesMax + 4),
    code: 'BODY_TOO_LARGE',
    detail: /4194304/,
  },
  'too many ids': {
    url: LOOKUP,
    type: RAW,
    payload: Buffer.alloc((LIMITS.lookupIndexCountMax + 1) * 4),
    code: 'BATCH_TOO_LARGE',
    detail: /65536/,
  },
  'an id out of range': {
    url: LOOKUP,
    payload: { indices: [0, 2] },
    code: 'INDEX_OUT_OF_RANGE',
    pointer: '/indices/1',
  },
  'ragged ids': { url: LOOKUP, payload: { indices: [[0, 1], [0]] }, code: 'SHAPE_MISMATCH' },
  'ids that are not as many as the shape has': {
    url: `${LOOKUP}?shape=3`,
    type: RAW,
    payload: Buffer.alloc(8),
    code: 'SHAPE_MISMATCH',
  },
  'float ids': { url: LOOKUP, type: NPY, payload: npy('float32', [1], floats(1)), code: 'DTYPE_MISMATCH' },
  'a deadline that has passed': {
    url: LOOKUP,
    payload: { indices: [0] },
    headers: { 'x-request-timeout-ms': '0' },
    code: 'DEADLINE_EXCEEDED',
  },
}
