/** Lists wrong updates with the errors that they must get. request-errors.test.ts sends them. */
import { LIMITS } from '../../../src/core/limits.ts'
import { SAFE, TABLE, type Wrong } from './wrong.ts'

/** Updates of rows that must be refused, with the error code of each. The key names what is wrong. */
export const WRONG_UPDATES: Record<string, Wrong> = {
  'an update without op': {
    url: `${TABLE}/rows`,
    payload: { indices: [0], values: [[1, 2]] },
    code: 'INVALID_REQUEST',
    pointer: '/op',
  },
  'gradients for a missing table': {
    url: '/v1/tables/none/gradients',
    payload: { indices: [0], gradients: [[1, 1]] },
    code: 'TABLE_NOT_FOUND',
  },
  'the condition of an earlier sequence on an update': {
    url: `${TABLE}/gradients`,
    payload: { indices: [0], gradients: [[1, 1]] },
    headers: { 'if-match': '"1-77"' },
    code: 'PRECONDITION_FAILED',
  },
  'an update body that is too large': {
    url: `${TABLE}/rows?op=set`,
    type: SAFE,
    payload: Buffer.alloc(LIMITS.updateBodyBytesMax + 1),
    code: 'BODY_TOO_LARGE',
    detail: /16777216/,
  },
  'an id out of range in an update': {
    url: `${TABLE}/gradients`,
    payload: { indices: [-1], gradients: [[1, 1]] },
    code: 'INDEX_OUT_OF_RANGE',
    pointer: '/indices/0',
  },
  'gradients of another dim': {
    url: `${TABLE}/gradients`,
    payload: { indices: [0], gradients: [[1, 1, 1]] },
    code: 'SHAPE_MISMATCH',
  },
  'infinity in an update': {
    url: `${TABLE}/rows`,
    payload: '{"op":"set","indices":[0],"values":[[1e39,0]]}',
    code: 'NON_FINITE',
  },
}
