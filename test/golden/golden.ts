/** Reads the golden cases, which README.md here describes, and runs them against a service. */

import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { readNpy, writeNpyHeader } from '../../src/formats/npy.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../src/formats/safetensors.ts'

/** A request with the answer that a reference library gave. */
export interface GoldenCase extends GoldenRequest {
  name: string
  table: {
    rows: number
    dim: number
    dtype: string
    values: Nested
    settings?: Record<string, unknown>
  } | null
  route: string
  steps?: GoldenStep[]
  expect?: Expected
  expect_error?: ExpectedError
  tolerance?: { rtol: number; atol: number }
  compare?: 'bits'
}
interface GoldenRequest {
  request?: Record<string, unknown>
  request_raw?: string
  request_binary?: { content_type: string; query: Record<string, string>; base64: string }
}
export interface GoldenStep extends GoldenRequest {
  route: string
  expect?: Record<string, unknown>
  expect_error?: ExpectedError
}
interface ExpectedError {
  status: number[]
  code: string[]
}
export interface Expected {
  shape?: number[]
  embeddings?: Nested
  dtype?: string
  table_after?: Nested
  sequence?: number
  decimal?: unknown
  [name: string]: unknown
}
export type Nested = number | string | Nested[]

export const readSuite = (name: string): GoldenCase[] =>
  (JSON.parse(readFileSync(new URL(`./${name}.json`, import.meta.url), 'utf8')) as { cases: GoldenCase[] })
    .cases

const WORDS: Record<string, number> = { NaN, Infinity, '-Infinity': -Infinity }

/** Flattens numbers in row-major order, and converts the words for numbers that JSON lacks, such as NaN. */
export const flatten = (nested: Nested): number[] =>
  Array.isArray(nested) ? nested.flatMap(flatten) : [typeof nested === 'string' ? WORDS[nested] : nested]

/** Sends one request to the service under test. */
export type Send = (
  method: 'GET' | 'PUT' | 'POST',
  url: string,
  body?: { type: string; bytes: string | Uint8Array },
  accept?: string,
) => Promise<{ status: number; headers: Record<string, unknown>; bytes: Buffer }>

/** Prints JSON with minus zero, which JSON.stringify would print as 0. */
export const printJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(printJson).join()}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, member]) => `${JSON.stringify(name)}:${printJson(member)}`)
      .join()}}`
  }
  return Object.is(value, -0) ? '-0' : JSON.stringify(value)
}
const asJson = (value: unknown) => ({ type: 'application/json', bytes: printJson(value) })
const parse = (bytes: Buffer): Record<string, unknown> =>
  JSON.parse(bytes.toString()) as Record<string, unknown>

/** Creates the table of a case by a specification in JSON, as a client would. */
export const createGoldenTable = async (
  send: Send,
  name: string,
  table: NonNullable<GoldenCase['table']>,
): Promise<void> => {
  const { rows, dim, dtype, values, settings } = table
  const spec: Record<string, unknown> =
    rows === 0 ? { rows, dim, dtype, ...settings } : { dtype, values, ...settings }
  const answer = await send('PUT', `/v1/tables/${name}`, asJson(spec))
  expect(answer.status, answer.bytes.toString()).toBe(201)
}

/** Expects numbers within the tolerance of a case. JSON has null for numbers that are not finite. */
export const expectNumbers = (
  got: readonly (number | null)[],
  want: readonly number[],
  golden: GoldenCase,
): void => {
  expect(got).toHaveLength(want.length)
  const { atol, rtol } = golden.tolerance ?? { atol: 0, rtol: 0 }
  want.forEach((number, i) => {
    const found = got[i]
    if (found === null || !Number.isFinite(number)) {
      if (found === null) expect(Number.isFinite(number), `${i}: null for ${number}`).toBe(false)
      else expect(found, `at ${i}`).toBe(number)
    } else if (golden.compare === 'bits' || (atol === 0 && rtol === 0 && number !== 0))
      expect(Math.fround(found), `at ${i}`).toBe(number)
    else
      expect(Math.abs(Math.fround(found) - number), `at ${i}: ${found} for ${number}`).toBeLessThanOrEqual(
        atol + rtol * Math.abs(number),
      )
  })
}

/** Sends a request in the form of its case: JSON, JSON text, or bytes that are answered in JSON. */
const sendGolden = (send: Send, route: string, { request, request_raw, request_binary }: GoldenRequest) => {
  const url = `/v1/tables/golden/${route}`
  if (request_binary === undefined)
    return send('POST', url, { type: 'application/json', bytes: request_raw ?? printJson(request) })
  const { content_type: type, query, base64 } = request_binary
  return send(
    'POST',
    `${url}?${new URLSearchParams(query)}`,
    { type, bytes: Buffer.from(base64, 'base64') },
    'application/json',
  )
}

const expectRefusal = (answer: Awaited<ReturnType<Send>>, wanted: ExpectedError, name: string): void => {
  const text = answer.bytes.toString()
  expect(wanted.status, `${name}: ${text}`).toContain(answer.status)
  expect(wanted.code, text).toContain((JSON.parse(text) as { code: string }).code)
}

/** Runs a case on its table through HTTP, in JSON or in the binary form of the case. */
export const runCase = async (send: Send, golden: GoldenCase): Promise<void> => {
  if (golden.steps !== undefined) return runSteps(send, golden)
  const answer = await sendGolden(send, golden.route, golden)
  if (golden.expect_error !== undefined && (golden.expect === undefined || answer.status !== 200)) {
    expectRefusal(answer, golden.expect_error, golden.name)
    return
  }
  expect(answer.status, answer.bytes.toString()).toBe(200)
  expectAnswer(parse(answer.bytes), golden)
}

const expectAnswer = (answer: Record<string, unknown>, golden: GoldenCase): void => {
  const expected = golden.expect ?? {}
  if (expected.shape !== undefined) expect(answer.shape).toEqual(expected.shape)
  if (expected.dtype !== undefined) expect(answer.dtype).toBe(expected.dtype)
  for (const member of ['embeddings', 'logits', 'scores'] as const) {
    if (expected[member] !== undefined)
      expectNumbers(flatten(answer[member] as Nested), flatten(expected[member] as Nested), golden)
  }
  if (expected.indices !== undefined) expect(answer.indices).toEqual(expected.indices)
}

const runSteps = async (send: Send, golden: GoldenCase): Promise<void> => {
  for (const step of golden.steps ?? []) {
    const { expect: expected, expect_error: refusal } = step
    const answer = await sendGolden(send, step.route, step)
    if (refusal !== undefined) expectRefusal(answer, refusal, golden.name)
    else {
      expect(answer.status, answer.bytes.toString()).toBe(200)
      expect(parse(answer.bytes)).toMatchObject(expected ?? {})
    }
  }
  const { table_after: after, sequence } = golden.expect ?? {}
  if (sequence !== undefined)
    expect(parse((await send('GET', '/v1/tables/golden')).bytes).sequence).toBe(sequence)
  if (after === undefined) return
  const table = await send('GET', '/v1/tables/golden/data', undefined, 'application/x-safetensors')
  const { data, elementType, shape } = readSafetensors(table.bytes).get('embeddings') ?? expect.unreachable()
  expect(shape).toEqual([golden.table?.rows, golden.table?.dim])
  expectNumbers(Array.from(widen(data, elementType)), flatten(after), golden)
}

const widen = (data: Uint8Array, elementType: string): ArrayLike<number> => {
  const bytes = data.slice()
  if (elementType === 'float32') return new Float32Array(bytes.buffer)
  if (elementType === 'float16') return new Float16Array(bytes.buffer)
  return Float32Array.from(
    new Uint16Array(bytes.buffer),
    (half) => new Float32Array(Uint32Array.of(half << 16).buffer)[0],
  )
}

/** The binary media types that a JSON lookup of nested ids can be converted to. */
export const BINARY_FORMS = [
  'application/octet-stream',
  'application/x-npy',
  'application/x-safetensors',
] as const

/** Sends the lookup of a JSON case with int64 ids in a binary form, and asks for float32 in the same form. */
export const sendBinary = async (send: Send, golden: GoldenCase, type: (typeof BINARY_FORMS)[number]) => {
  const { indices, ...options } = golden.request as { indices: Nested; [option: string]: unknown }
  const shape = shapeOf(indices)
  const ids = new Uint8Array(BigInt64Array.from(flatten(indices), BigInt).buffer)
  const query = new URLSearchParams(
    Object.entries(options).map(([name, value]): [string, string] => [name, String(value)]),
  )
  if (type === 'application/octet-stream') {
    query.set('index_dtype', 'int64')
    query.set('shape', shape.join())
  }
  const header = type === 'application/octet-stream' ? [] : [headerOf(type, shape)]
  return send(
    'POST',
    `/v1/tables/golden/lookup?${query}`,
    { type, bytes: Buffer.concat([...header, ids]) },
    type,
  )
}

const headerOf = (type: string, shape: number[]): Uint8Array =>
  type === 'application/x-npy'
    ? writeNpyHeader('int64', shape)
    : writeSafetensorsHeader([{ name: 'indices', elementType: 'int64', shape }]).header

/** Reads the shape and the float32 numbers of a binary answer. */
export const readBinary = (
  answer: Awaited<ReturnType<Send>>,
  type: (typeof BINARY_FORMS)[number],
): { shape: number[]; values: Float32Array } => {
  if (type === 'application/octet-stream') {
    const shape = String(answer.headers['x-shape']).split(',').map(Number)
    return {
      shape,
      values: new Float32Array(
        answer.bytes.buffer.slice(answer.bytes.byteOffset, answer.bytes.byteOffset + answer.bytes.length),
      ),
    }
  }
  const array =
    type === 'application/x-npy'
      ? readNpy(answer.bytes)
      : (readSafetensors(answer.bytes).get('embeddings') ?? expect.unreachable())
  expect(array.elementType).toBe('float32')
  return { shape: [...array.shape], values: new Float32Array(array.data.slice().buffer) }
}

const shapeOf = (nested: Nested): number[] =>
  Array.isArray(nested) ? [nested.length, ...(nested.length > 0 ? shapeOf(nested[0]) : [])] : []
