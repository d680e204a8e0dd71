/** Makes the bytes of every request before anything is timed. */
import { makeGradients, toBytes } from '../rows.ts'
import { LEARNING_RATE, type Scenario, SEEDS, ZIPF_EXPONENT } from '../scenarios.ts'
import { type Distribution, makeIds } from '../zipf.ts'

/** How many ids there are before they repeat: rows of 256 bytes then no longer fit a cache. */
const POOL_ID_COUNT = 2 ** 19
const POOL_REQUEST_COUNT_MAX = 8_192
/**
 * Answers in JSON are read once to learn their length, and gradients are large: fewer of them. Their cost is
 * not in the rows.
 */
const POOL_ID_COUNT_TEXT = 2 ** 13
const POOL_REQUEST_COUNT_TEXT_MAX = 256

/** One request of a scenario, the same for all servers. */
export interface RequestPlan {
  ids: Int32Array
  /** The gradients of an update, a row for each id. */
  gradients?: Float32Array
}

const MEDIA_TYPES = {
  binary: 'application/octet-stream',
  json: 'application/json',
  safetensors: 'application/x-safetensors',
} as const

/** The ids from which all scenarios of one distribution take theirs. */
export const makeIdPool = (distribution: Distribution, rowCount: number): Int32Array =>
  makeIds({ distribution, rowCount, count: POOL_ID_COUNT, seed: SEEDS.ids, exponent: ZIPF_EXPONENT })

/** The distinct requests of `scenario`, in the order in which they are sent, over and over. */
export function planRequests(scenario: Scenario, idPool: Int32Array): RequestPlan[] {
  const { idCount } = scenario
  const binary = scenario.encoding === 'binary'
  const requestCountMax = binary ? POOL_REQUEST_COUNT_MAX : POOL_REQUEST_COUNT_TEXT_MAX
  const requestCount = Math.min(
    requestCountMax,
    Math.max(4, (binary ? POOL_ID_COUNT : POOL_ID_COUNT_TEXT) / idCount),
  )
  return Array.from({ length: requestCount }, (_, index) => {
    const own = idPool.subarray(index * idCount, (index + 1) * idCount)
    return scenario.kind === 'lookup'
      ? { ids: own }
      : { ids: own, gradients: makeGradients(idCount, scenario.dim, SEEDS.gradients + index) }
  })
}

/** The path of a scenario's route. */
export const pathOf = (scenario: Scenario): string => `/v1/tables/${scenario.table}/${scenario.kind}`

/** Headers of a request of this scenario, without those of the connection. */
export function headersOf(scenario: Scenario): Record<string, string> {
  const accepted = scenario.kind === 'gradients' ? 'json' : scenario.encoding
  return { 'content-type': MEDIA_TYPES[scenario.encoding], accept: MEDIA_TYPES[accepted] }
}

/** A whole HTTP/1.1 request. */
export function encodeRequest(
  host: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join('')}content-length: ${body.length}\r\n\r\n`,
    ),
    body,
  ])
}

/** The body of the request, in the encoding of the scenario. */
export function encodeBody({ encoding, dim }: Scenario, { ids, gradients }: RequestPlan): Buffer {
  if (gradients === undefined) {
    return encoding === 'binary'
      ? Buffer.from(toBytes(ids))
      : Buffer.from(JSON.stringify({ indices: [...ids] }))
  }
  return encoding === 'json'
    ? encodeJsonGradients(ids, gradients, dim)
    : encodeSafetensors(ids, gradients, dim)
}

function encodeJsonGradients(ids: Int32Array, gradients: Float32Array, dim: number): Buffer {
  const rows = Array.from(ids, (_, position) =>
    Array.from(gradients.subarray(position * dim, (position + 1) * dim), shortestFloat32),
  )
  return Buffer.from(
    `{"indices":${JSON.stringify([...ids])},` +
      `"gradients":[${rows.map((row) => `[${row.join(',')}]`).join(',')}],` +
      `"learning_rate":${LEARNING_RATE}}`,
  )
}

/** The shortest decimal that reads back as the same float32: a client's JSON library prints the same. */
export function shortestFloat32(value: number): string {
  // Six digits and fewer always survive: what is shorter prints with trailing zeros, which Number() drops.
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return String(Number(value.toPrecision(9)))
}

/** A safetensors file: length of the header, header, then int64 `indices` and float32 `gradients`. */
function encodeSafetensors(ids: Int32Array, gradients: Float32Array, dim: number): Buffer {
  const wide = BigInt64Array.from(ids, BigInt)
  const indexBytes = Buffer.from(wide.buffer)
  const gradientBytes = toBytes(gradients)
  const text = JSON.stringify({
    indices: { dtype: 'I64', shape: [ids.length], data_offsets: [0, indexBytes.length] },
    gradients: {
      dtype: 'F32',
      shape: [ids.length, dim],
      data_offsets: [indexBytes.length, indexBytes.length + gradientBytes.length],
    },
  })
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, indexBytes, gradientBytes])
}
