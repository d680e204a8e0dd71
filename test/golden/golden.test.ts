import { describe, expect, test } from 'vitest'
import {
  BINARY_FORMS,
  flatten,
  type GoldenCase,
  readBinary,
  readSuite,
  runCase,
  sendBinary,
} from './golden.ts'
import { serveGoldens } from './service.ts'

const { send, provideTable } = serveGoldens()

describe.each(['take', 'bags', 'attend', 'edge', 'dtypes', 'optimizers'])(
  'Golden suite %s through HTTP',
  (suite) => {
    test.each(readSuite(suite))('$name', async (golden) => {
      await provideTable(golden)
      await runCase(send, golden)
    })
  },
)

const isPlainLookup = ({ request, expect: expected }: GoldenCase) =>
  expected !== undefined && request !== undefined && !('dtype' in request)

describe.each(BINARY_FORMS)('Golden suite take as %s, to the bit', (type) => {
  test.each(readSuite('take').filter(isPlainLookup))('$name', async (golden) => {
    await provideTable(golden)
    const answer = await sendBinary(send, golden, type)
    expect(answer.status, answer.bytes.toString()).toBe(200)
    const { shape, values } = readBinary(answer, type)
    expect(shape).toEqual(golden.expect?.shape)
    expect(Array.from(values)).toEqual(flatten(golden.expect?.embeddings ?? []))
  })
})
