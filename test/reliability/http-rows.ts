/** Reads rows over HTTP while they change or their table is replaced, and looks for mixed answers. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Ask, askOrFail, createAsk } from './asking.ts'
import { makeFolder } from './folders.ts'
import { type Launched, launchReady } from './launch.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'

export interface HttpOptions {
  seed: number
  /** The run ends after this many violations. */
  violationsMax?: number
  root?: string
}

const BINARY = { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' }
const SAFETENSORS = { 'content-type': 'application/x-safetensors' }
const VIOLATIONS_MAX = 20

const toFloat32 = ({ body }: Answer): Float32Array =>
  new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length) as ArrayBuffer)

const withService = async <Result>(
  { root }: HttpOptions,
  environment: Record<string, string>,
  run: (ask: Ask, running: Launched) => Promise<Result>,
): Promise<Result> => {
  const folder = makeFolder()
  try {
    const running = await launchReady({ dataDir: folder.path, root, environment })
    const ask = createAsk(running.url)
    try {
      return await run(ask, running)
    } finally {
      ask.close()
      await running.kill()
    }
  } finally {
    folder.remove()
  }
}

const HOT_ROWS = 16
const HOT_DIM = 1_024
const HOT_TABLE = '/v1/tables/hot'
/** With this many ids a lookup takes longer than an update. */
const HOT_IDS = 1_024

/**
 * Checks an answer. The n-th update sets all rows to n, so a row has one number, which is never less than the
 * sequence that the answer names.
 */
const judgeHotRows = (answer: Answer): string | null => {
  const sequence = Number(answer.headers['x-table-sequence'])
  const values = toFloat32(answer)
  if (answer.status !== 200 || values.length !== HOT_IDS * HOT_DIM)
    return `a lookup was answered ${answer.status}`
  for (let at = 0; at < values.length; at += HOT_DIM) {
    const first = values[at]
    if (first < sequence) return `a row of sequence ${first} in an answer of sequence ${sequence}`
    // Rows are written and read from start to end, so a torn row differs at its end or in its middle.
    for (let i = at + 127; i < at + HOT_DIM; i += 128)
      if (values[i] !== first) return `a row of ${first} and ${values[i]}`
  }
  return null
}

/** Encodes an update as safetensors that sets all rows to `value`. */
const writeHotRows = (value: number): Buffer => {
  const indices = Int32Array.from({ length: HOT_ROWS }, (_, row) => row)
  const values = new Float32Array(HOT_ROWS * HOT_DIM).fill(value)
  const end = indices.byteLength + values.byteLength
  const header = JSON.stringify({
    indices: { dtype: 'I32', shape: [HOT_ROWS], data_offsets: [0, indices.byteLength] },
    values: { dtype: 'F32', shape: [HOT_ROWS, HOT_DIM], data_offsets: [indices.byteLength, end] },
  })
  const length = Buffer.alloc(8)
  length.writeUInt32LE(header.length)
  return Buffer.concat([length, Buffer.from(header), Buffer.from(indices.buffer), Buffer.from(values.buffer)])
}

/** C1 over HTTP looks up sixteen rows while all of them change. */
export const runHotLookups = (options: HttpOptions & { lookups: number }): Promise<Finding> =>
  measure({ id: 'C1 HTTP', title: 'torn rows, over HTTP', seed: options.seed }, () =>
    withService(options, { GATHERD_HTTP_THREADS: '2', GATHERD_COMPUTE_THREADS: '1' }, async (ask) => {
      const { violationsMax = VIOLATIONS_MAX } = options
      const random = createRandom(options.seed)
      const violations: string[] = []
      await askOrFail(ask, 'PUT', HOT_TABLE, {
        body: { rows: HOT_ROWS, dim: HOT_DIM, initializer: { kind: 'zeros' }, durability: 'none' },
      })
      let isDone = false
      let updates = 0
      const write = async () => {
        while (!isDone) {
          updates++
          await askOrFail(ask, 'POST', `${HOT_TABLE}/rows?op=set`, {
            body: writeHotRows(updates),
            headers: SAFETENSORS,
          })
        }
      }
      let n = 0
      const read = async () => {
        while (n < options.lookups && violations.length < violationsMax) {
          n++
          const ids = Int32Array.from({ length: HOT_IDS }, () => random.below(HOT_ROWS))
          const answer = await ask('POST', `${HOT_TABLE}/lookup`, {
            body: Buffer.from(ids.buffer),
            headers: BINARY,
          })
          const wrong = answer === null ? 'a lookup was not answered' : judgeHotRows(answer)
          if (wrong !== null) violations.push(wrong)
        }
      }
      const writing = write()
      await Promise.all([read(), read()])
      isDone = true
      await writing
      return { n, violations, counts: { updates, rows: n * HOT_IDS } }
    }),
  )

const SWAP_ROWS = 16_384
const SWAP_DIM = 64
const SWAP_TABLE = '/v1/tables/swapped'
const SWAP_EVERY_MS = 50
const READER_COUNT = 16
const READ_IDS = 256
const MiB = 1024 * 1024
/** The memory of freed versions that is not returned to the system at once. */
const SLACK_BYTES = 64 * MiB
const SETTLE_MS_MAX = 20_000

const residentBytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024

const putSwapped = (ask: Ask, value: number) =>
  askOrFail(ask, 'PUT', SWAP_TABLE, {
    body: {
      rows: SWAP_ROWS,
      dim: SWAP_DIM,
      initializer: { kind: 'constant', value },
      durability: 'none',
      keep_versions: 1,
    },
  })

const readSwapped = async (ask: Ask, random: Random): Promise<string | null> => {
  const ids = Int32Array.from({ length: READ_IDS }, () => random.below(SWAP_ROWS))
  const answer = await ask('POST', `${SWAP_TABLE}/lookup`, { body: Buffer.from(ids.buffer), headers: BINARY })
  if (answer?.status !== 200) return `a lookup was answered ${answer?.status} ${answer?.body.toString()}`
  const version = Number(answer.headers['x-table-version'])
  const values = toFloat32(answer)
  if (values.length !== READ_IDS * SWAP_DIM) return `an answer of ${values.length} numbers`
  const wrong = values.find((value) => value !== version)
  return wrong === undefined ? null : `${wrong} in an answer of version ${version}`
}

/** C6 replaces a table repeatedly while sixteen readers use it. All values of the n-th version are n. */
export const runSwaps = (options: HttpOptions & { swaps: number }): Promise<Finding> =>
  measure({ id: 'C6', title: 'swaps under readers', seed: options.seed }, () =>
    withService(options, { GATHERD_HTTP_THREADS: '2' }, async (ask, { child }) => {
      const { violationsMax = VIOLATIONS_MAX } = options
      const random = createRandom(options.seed)
      const violations: string[] = []
      let isDone = false
      let lookups = 0
      const read = async () => {
        while (!isDone && violations.length < violationsMax) {
          lookups++
          const wrong = await readSwapped(ask, random)
          if (wrong !== null) violations.push(wrong)
        }
      }
      const WARM_UP = 10
      let baseBytes = 0
      await putSwapped(ask, 1)
      const readers = Array.from({ length: READER_COUNT }, read)
      let version = 1
      while (version < options.swaps && violations.length < violationsMax) {
        await Promise.all([putSwapped(ask, ++version), sleep(SWAP_EVERY_MS)])
        // Growth during the warm-up is not a leak.
        if (version === WARM_UP) baseBytes = residentBytes(child.pid ?? 0)
      }
      isDone = true
      await Promise.all(readers)
      const endsAtMs = performance.now() + SETTLE_MS_MAX
      const grown = () => residentBytes(child.pid ?? 0) - baseBytes
      while (grown() > SLACK_BYTES && performance.now() < endsAtMs) await sleep(100)
      if (grown() > SLACK_BYTES)
        violations.push(
          `the process holds ${Math.round(grown() / MiB)} MiB more than after ${WARM_UP} versions`,
        )
      return { n: version, violations, counts: { lookups, 'grown by, MiB': Math.round(grown() / MiB) } }
    }),
  )
