import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import type { AnswerDtype, Dtype } from '../../src/core/types.ts'
import { DEFAULT_SETTINGS } from '../../src/writer/lifecycle/table-model.ts'
import { type LookupPlan, planLookup } from '../../src/lookup/plan.ts'
import type { LookupRequest } from '../../src/lookup/request.ts'
import type { VersionHandle } from '../../src/tables/handles.ts'

const handle = (dtype: Dtype = 'float32', dim = 10): VersionHandle => {
  return { key: 'v1', version: 1, rows: 100, dim, dtype, createdAt: 0, segments: [] }
}
const ask = (shape: number[], options: LookupRequest['options'] = {}): LookupRequest => {
  return { indices: new Int32Array(shape.reduce((product, length) => product * length, 1)), shape, options }
}
const plan = (request: LookupRequest, dtype: Dtype = 'float32', text = false, settings = {}): LookupPlan =>
  planLookup(handle(dtype), { ...DEFAULT_SETTINGS, ...settings }, request, text)

describe('The plan of a lookup', () => {
  test('has the shape of the indices and dim, or of bags and dim', () => {
    expect(plan(ask([])).shape).toEqual([10])
    expect(plan(ask([2, 3])).shape).toEqual([2, 3, 10])
    expect(plan(ask([0])).shape).toEqual([0, 10])
    expect(plan(ask([2, 3], { pooling: 'mean' })).shape).toEqual([2, 10])
    expect(plan(ask([0], { pooling: 'mean' })).shape).toEqual([0, 10])
  })

  test.each<[Dtype, AnswerDtype, boolean, Partial<LookupPlan>]>([
    [
      'float32',
      'float32',
      false,
      { elementType: 'float32', rowFormat: 'stored', narrow: false, answerBytes: 240 },
    ],
    [
      'float32',
      'float16',
      false,
      { elementType: 'float16', rowFormat: 'stored', narrow: true, widen: false, answerBytes: 120 },
    ],
    [
      'float32',
      'float16',
      true,
      { elementType: 'float16', rowFormat: 'stored', narrow: true, widen: true, answerBytes: 240 },
    ],
    [
      'float16',
      'float32',
      false,
      { elementType: 'float32', rowFormat: 'float32', narrow: false, answerBytes: 240 },
    ],
    [
      'float16',
      'native',
      false,
      { elementType: 'float16', rowFormat: 'stored', narrow: false, gatheredBytes: 120, answerBytes: 120 },
    ],
    [
      'float16',
      'native',
      true,
      { elementType: 'float16', rowFormat: 'float32', narrow: false, answerBytes: 240 },
    ],
    [
      'int8',
      'native',
      false,
      { elementType: 'uint8', rowFormat: 'stored', narrow: false, gatheredRowBytes: 18, answerBytes: 108 },
    ],
    [
      'float16',
      'bfloat16',
      false,
      { elementType: 'bfloat16', rowFormat: 'float32', narrow: true, answerBytes: 120 },
    ],
    [
      'int8',
      'float32',
      false,
      { elementType: 'float32', rowFormat: 'float32', narrow: false, answerBytes: 240 },
    ],
    [
      'int8',
      'bfloat16',
      false,
      { elementType: 'bfloat16', rowFormat: 'float32', narrow: true, answerBytes: 120 },
    ],
  ])('of %s rows as %s, printed: %s', (dtype, wanted, text, expected) => {
    expect(plan(ask([6], { dtype: wanted }), dtype, text)).toMatchObject(expected)
  })

  test('of bags has float32 rows for every dtype, which are rounded at the end', () => {
    const pooled = { pooling: 'sum' as const }
    const expected = {
      rowFormat: 'float32',
      elementType: 'float16',
      narrow: true,
      gatheredBytes: 80,
      answerBytes: 40,
    }
    expect(plan(ask([2, 3], { ...pooled, dtype: 'native' }), 'float16')).toMatchObject(expected)
    expect(plan(ask([2, 3], { ...pooled, dtype: 'native' }), 'float16', true)).toMatchObject({
      widen: true,
      answerBytes: 80,
    })
    expect(plan(ask([2, 3], pooled), 'int8')).toMatchObject({
      rowFormat: 'float32',
      narrow: false,
      answerBytes: 80,
    })
  })

  test('places only the needed regions, one after another on cache lines', () => {
    const weights = { values: new Float32Array(60), shape: [60] }
    const request = { ...ask([20, 3], { pooling: 'sum', dtype: 'float16' }), weights }
    const { idsAt, offsetsAt, weightsAt, fillAt, rowsAt, narrowAt, regionBytes } = plan(request)
    // Narrow rows lie where the wide ones did, unless they are widened again for JSON.
    expect([idsAt, offsetsAt, weightsAt, fillAt, rowsAt, narrowAt, regionBytes]).toEqual([
      0, 256, 384, 640, 704, 704, 1536,
    ])
    const printed = plan(request, 'float32', true)
    expect([printed.rowsAt, printed.narrowAt, printed.regionBytes]).toEqual([704, 1536, 1984])
    const flat = plan(ask([16]))
    expect([flat.idsAt, flat.offsetsAt, flat.weightsAt, flat.fillAt, flat.rowsAt, flat.regionBytes]).toEqual([
      0, 64, 64, 64, 128, 768,
    ])
  })

  test('uses the settings of the table that the request does not override', () => {
    const settings = { out_of_range: 'fill' as const, fill_value: 7, padding_index: -1 }
    expect(plan(ask([1]), 'float32', false, settings)).toMatchObject({
      mode: 'fill',
      fillValue: 7,
      paddingRow: 99,
    })
    const options = { mode: 'clip' as const, fill_value: null, padding_index: null }
    expect(plan(ask([1], options), 'float32', false, settings)).toMatchObject({
      mode: 'clip',
      fillValue: NaN,
      paddingRow: -1,
    })
    expect(plan(ask([1], { padding_index: -100 })).paddingRow).toBe(0)
  })

  test('takes a setting that names no row of an older version, where a request with it is refused', () => {
    expect(plan(ask([1]), 'float32', false, { padding_index: 100 }).paddingRow).toBe(100)
    for (const padding_index of [100, -101]) {
      expect(() => plan(ask([1], { padding_index }))).toThrowError(
        expect.objectContaining({
          code: 'INVALID_REQUEST',
          errors: [{ pointer: '/padding_index', detail: 'expected -100..99 or null' }],
        }),
      )
    }
  })

  test('limits the answer in its own dtype', () => {
    const rowsOf = (count: number, options: LookupRequest['options'], text = false) =>
      planLookup(handle('float32', 65_536), DEFAULT_SETTINGS, ask([count], options), text)
    const tooLarge = expect.objectContaining({ code: 'BATCH_TOO_LARGE' })
    expect(rowsOf(512, { dtype: 'float16' }).answerBytes).toBe(LIMITS.lookupResponseBytesMax)
    expect(() => rowsOf(513, { dtype: 'float16' })).toThrowError(tooLarge)
    expect(() => rowsOf(257, {})).toThrowError(tooLarge)
    // Printed numbers count as float32, whatever they were rounded to.
    expect(() => rowsOf(257, { dtype: 'float16' }, true)).toThrowError(
      'the answer would print 16842752 numbers, the limit is 16777216; ask for a binary type',
    )
    const bags = ask([512, 0], { pooling: 'sum', dtype: 'bfloat16' })
    expect(planLookup(handle('int8', 65_536), DEFAULT_SETTINGS, bags, false).answerBytes).toBe(
      LIMITS.lookupResponseBytesMax,
    )
  })

  test.each<[string, string, () => unknown]>([
    [
      'more indices than a lookup may have',
      'BATCH_TOO_LARGE',
      () => plan(ask([LIMITS.lookupIndexCountMax + 1])),
    ],
    [
      'more empty lists than a lookup may have',
      'BATCH_TOO_LARGE',
      () => plan(ask([4, LIMITS.lookupIndexCountMax / 2, 0])),
    ],
    [
      'an answer that is too large',
      'BATCH_TOO_LARGE',
      () => planLookup(handle('float32', 65_536), DEFAULT_SETTINGS, ask([257]), false),
    ],
    [
      'bags that are too large',
      'BATCH_TOO_LARGE',
      () => planLookup(handle('int8', 65_536), DEFAULT_SETTINGS, ask([257, 0], { pooling: 'sum' }), false),
    ],
    ['too many axes', 'SHAPE_MISMATCH', () => plan(ask([1, 1, 1, 1, 1, 1, 1, 1, 1]))],
    [
      'bags of int8 rows as stored',
      'DTYPE_MISMATCH',
      () => plan(ask([1, 1], { dtype: 'native', pooling: 'sum' }), 'int8'),
    ],
  ])('refuses %s', (_what, code, work) => {
    expect(work).toThrowError(expect.objectContaining({ code }))
  })

  test('limits the number of indices of a lookup', () => {
    expect(plan(ask([LIMITS.lookupIndexCountMax])).count).toBe(LIMITS.lookupIndexCountMax)
    expect(plan(ask([LIMITS.lookupIndexCountMax, 0])).count).toBe(0)
    expect(plan(ask([0, 2 ** 40])).count).toBe(0)
    expect(planLookup(handle('float32', 65_536), DEFAULT_SETTINGS, ask([256]), false).gatheredBytes).toBe(
      LIMITS.lookupResponseBytesMax,
    )
  })
})
