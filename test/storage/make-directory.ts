/**
 * Makes a data directory with the code of a checkout, through its HTTP API alone, and writes down what that
 * code reads from it:
 *
 *   node test/storage/make-directory.ts CHECKOUT FOLDER
 *
 * The directory, FOLDER/data, is left by kill -9 with updates that no snapshot has. FOLDER/contents.json is
 * what the same code answers when it opens a copy; FOLDER/updates.json has the updates that were sent with an
 * Idempotency-Key.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type Ask, type KeyedUpdate, readContents } from './directory-contents.ts'

const [checkout, folder] = process.argv.slice(2)
if (checkout === undefined || folder === undefined)
  throw new Error('usage: make-directory.ts CHECKOUT FOLDER')

const start = async (dataDir: string): Promise<{ ask: Ask; kill: () => Promise<void> }> => {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(checkout, 'src/main.ts')],
    {
      env: {
        PATH: process.env.PATH,
        GATHERD_PORT: '0',
        GATHERD_DATA_DIR: dataDir,
        GATHERD_LOG_LEVEL: 'warn',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = new Promise((resolve) => child.once('exit', resolve))
  let output = ''
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const found = /is ready: (http:\/\/\S+)/.exec(output)
      if (found !== null) resolve(found[1])
    })
    void exited.then((code) =>
      reject(new Error(`the service ended with ${code} before it was ready: ${output}`)),
    )
  })
  const ask: Ask = async (method, path, { body, headers = {} } = {}) => {
    const isBytes = body instanceof Uint8Array
    const init: RequestInit = {
      method,
      headers: { ...(body !== undefined && !isBytes && { 'content-type': 'application/json' }), ...headers },
    }
    if (body !== undefined) init.body = isBytes ? new Uint8Array(body) : JSON.stringify(body)
    const answer = await fetch(url + path, init)
    return {
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: Buffer.from(await answer.arrayBuffer()),
    }
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { ask, kill }
}

/** Values that bfloat16 represents exactly, different in each row. */
const makeRows = (rows: number, dim: number, seed: number): number[][] =>
  Array.from({ length: rows }, (_, row) =>
    Array.from({ length: dim }, (_, column) => (((row * 7 + column * 3 + seed) % 61) - 30) / 8),
  )

const TABLES = {
  adam: {
    dtype: 'float32',
    durability: 'disk',
    optimizer: { kind: 'adam', learning_rate: 0.125, beta1: 0.75, beta2: 0.875, epsilon: 1e-6 },
  },
  adagrad: {
    dtype: 'float16',
    durability: 'os',
    optimizer: { kind: 'adagrad', learning_rate: 0.25, initial_accumulator: 0.5, epsilon_inside_sqrt: true },
  },
  momentum: {
    dtype: 'bfloat16',
    durability: 'disk',
    optimizer: { kind: 'momentum', learning_rate: 0.25, momentum: 0.5, nesterov: true },
  },
  rowwise: {
    dtype: 'float32',
    durability: 'disk',
    optimizer: { kind: 'rowwise_adagrad', learning_rate: 0.25, initial_accumulator: 1 },
  },
  sgd: {
    dtype: 'float32',
    durability: 'disk',
    padding_index: 1,
    optimizer: {
      kind: 'sgd',
      learning_rate: 0.5,
      weight_decay: 0.125,
      constraint: { kind: 'max_norm', value: 2 },
    },
  },
  unsaved: { dtype: 'float32', durability: 'none', optimizer: { kind: 'adam', learning_rate: 0.5 } },
  int8: { dtype: 'int8', durability: 'disk' },
  replaced: { dtype: 'float32', durability: 'disk', keep_versions: 3 },
  adapted: { dtype: 'float32', durability: 'disk' },
}
const TRAINED = ['adam', 'adagrad', 'momentum', 'rowwise', 'sgd', 'unsaved', 'replaced']

const encodeAdapter = (rows: number, dim: number): Uint8Array => {
  const a = Float32Array.from({ length: rows * 2 }, (_, i) => ((i % 9) - 4) / 4)
  const b = Float32Array.from({ length: 2 * dim }, (_, i) => ((i % 5) - 2) / 2)
  const header = Buffer.from(
    JSON.stringify({
      a: { dtype: 'F32', shape: [rows, 2], data_offsets: [0, a.byteLength] },
      b: { dtype: 'F32', shape: [2, dim], data_offsets: [a.byteLength, a.byteLength + b.byteLength] },
    }).padEnd(160),
  )
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, Buffer.from(a.buffer), Buffer.from(b.buffer)])
}

const updates: KeyedUpdate[] = []

/** Sends a request and throws unless it succeeds. */
const mustDo = async (...[method, path, request]: Parameters<Ask>): Promise<Buffer> => {
  const answer = await service.ask(method, path, request)
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${String(answer.body)}`)
  return answer.body
}

/** Sends a keyed gradient step to each table that has an optimizer, and updates that set and add rows. */
const trainTables = async (round: number): Promise<void> => {
  for (const name of TRAINED) {
    const indices = [round, (round * 5) % 12, round]
    const gradients = makeRows(3, 4, round).map((row) => row.map((value) => value / 2))
    const update = {
      path: `/v1/tables/${name}/gradients`,
      key: `${name}-${round}`,
      body: { indices, gradients },
    }
    await mustDo('POST', update.path, { body: update.body, headers: { 'idempotency-key': update.key } })
    if (name !== 'unsaved') updates.push(update)
  }
  const set = {
    path: '/v1/tables/adam/rows',
    key: `set-${round}`,
    body: { op: 'set', indices: [round], values: [[1, 2, 3, 4]] },
  }
  await mustDo('POST', set.path, { body: set.body, headers: { 'idempotency-key': set.key } })
  await mustDo('POST', '/v1/tables/sgd/rows', {
    body: { op: 'add', indices: [11], values: [[1, 0, -1, 0.5]] },
  })
  updates.push(set)
}

const createTables = async (): Promise<void> => {
  for (const [i, [name, settings]] of Object.entries(TABLES).entries())
    await mustDo('PUT', `/v1/tables/${name}`, { body: { values: makeRows(12, 4, i), ...settings } })
  await mustDo('PUT', '/v1/tables/deleted', { body: { values: [[1]] } })
  await mustDo('PUT', '/v1/tables/adapted/lora?alpha=4', {
    body: encodeAdapter(12, 4),
    headers: { 'content-type': 'application/x-safetensors' },
  })
}

/** Changes versions, aliases and settings, so that the directory holds more than what was created. */
const changeTables = async (): Promise<void> => {
  for (const seed of [20, 30])
    await mustDo('PUT', '/v1/tables/replaced', {
      body: { values: makeRows(12, 4, seed), durability: 'disk', keep_versions: 3 },
    })
  await mustDo('POST', '/v1/tables/replaced/rollback', { body: { version: 2 } })
  await mustDo('PATCH', '/v1/tables/int8', { body: { out_of_range: 'clip', padding_index: 3 } })
  await mustDo('PATCH', '/v1/tables/sgd', {
    body: { out_of_range: 'fill', fill_value: -1.5, keep_versions: 2 },
  })
  await mustDo('DELETE', '/v1/tables/deleted')
  await mustDo('PUT', '/v1/aliases/live', { body: { table: 'replaced' } })
  await mustDo('PUT', '/v1/aliases/first', { body: { table: 'replaced', version: 1 } })
  await mustDo('PUT', '/v1/aliases/gone', { body: { table: 'adam' } })
  await mustDo('DELETE', '/v1/aliases/gone')
}

/** Leaves one upload with missing parts, and completes another one into a table. */
const stageUploads = async (): Promise<void> => {
  const begin = async (table: string): Promise<string> => {
    const body = { rows: 8, dim: 4, bytes: 128 }
    const { upload } = JSON.parse(String(await mustDo('POST', `/v1/tables/${table}/uploads`, { body }))) as {
      upload: string
    }
    return `/v1/tables/${table}/uploads/${upload}`
  }
  const sendPart = (path: string, part: number) =>
    mustDo('PUT', `${path}/parts/${part}`, {
      body: new Uint8Array(Float32Array.from({ length: 16 }, (_, i) => part * 100 + i).buffer),
      headers: { 'content-type': 'application/octet-stream' },
    })
  await sendPart(await begin('adam'), 1)
  const committed = await begin('uploaded')
  for (const part of [0, 1]) await sendPart(committed, part)
  await mustDo('POST', `${committed}/commit`)
}

mkdirSync(folder, { recursive: true })
const dataDir = join(folder, 'data')
const service = await start(dataDir)
await createTables()
await trainTables(1)
await changeTables()
await trainTables(2)
await mustDo('POST', '/v1/snapshots')
await trainTables(3)
await stageUploads()
await trainTables(4)
await service.kill()

const scratch = mkdtempSync(join(tmpdir(), 'gatherd-test-'))
cpSync(dataDir, scratch, { recursive: true })
const reopened = await start(scratch)
const contents = await readContents(reopened.ask, updates)
await reopened.kill()
rmSync(scratch, { recursive: true })
writeFileSync(join(folder, 'contents.json'), `${JSON.stringify(contents, null, 1)}\n`)
writeFileSync(join(folder, 'updates.json'), `${JSON.stringify(updates, null, 1)}\n`)
