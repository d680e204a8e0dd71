/**
 * A first real run: uploads 20,000 word vectors, looks words up, finds their neighbours, and pushes one
 * gradient step that moves two words together. Run it by `npm run demo`; the first argument names another
 * service than the one on port 8080.
 */
import { readFileSync } from 'node:fs'
import { findOrStartService } from './service.ts'

const words = readFileSync(new URL('./glove/glove-20k-words.txt', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
const vectors = readFileSync(new URL('./glove/glove-20k-100d.safetensors', import.meta.url))
const rowOf = new Map(words.map((word, row) => [word, row]))

const say = (text = ''): void => void process.stdout.write(`${text}\n`)

const call = async <Answer>(
  url: string,
  method: string,
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
): Promise<Answer> => {
  const answer = await fetch(url, { method, headers: { 'content-type': type }, body })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`)
  return JSON.parse(text) as Answer
}
const post = <Answer>(url: string, body: unknown): Promise<Answer> =>
  call(url, 'POST', 'application/json', JSON.stringify(body))

const row = (word: string): number => {
  const found = rowOf.get(word)
  if (found === undefined) throw new Error(`${word} is not among the 20,000 words`)
  return found
}

const lookUp = async (table: string, names: string[]): Promise<number[][]> =>
  (await post<{ embeddings: number[][] }>(`${table}/lookup`, { indices: names.map(row) })).embeddings

const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i], 0)
const cosine = (a: number[], b: number[]): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))

const showNear = async (table: string, names: string[]): Promise<void> => {
  const queries = await lookUp(table, names)
  const { indices, scores } = await post<{ indices: number[][]; scores: number[][] }>(`${table}/attend`, {
    queries,
    top_k: 6,
    metric: 'cosine',
  })
  names.forEach((name, i) => {
    const near = indices[i].map((index, k) => `${words[index]} ${scores[i][k].toFixed(2)}`).slice(1)
    say(`  ${name.padEnd(8)} ${near.join('  ')}`)
  })
}

const main = async (): Promise<void> => {
  const service = await findOrStartService(process.argv[2] ?? 'http://127.0.0.1:8080')
  say(
    service.startedHere
      ? `Started gatherd at ${service.url} for this demo.`
      : `Found gatherd at ${service.url}.`,
  )
  const table = `${service.url}/v1/tables/demo-words`
  try {
    const info = await call<{ rows: number; dim: number; dtype: string; version: number; bytes: number }>(
      `${table}?dtype=float32`,
      'PUT',
      'application/x-safetensors',
      new Uint8Array(vectors),
    )
    say(
      `\nUploaded GloVe: ${info.rows} rows x ${info.dim}, ${info.dtype}, ${info.bytes} bytes, version ` +
        `${info.version}.`,
    )

    const names = ['coffee', 'python', 'paris']
    const [coffee] = await lookUp(table, ['coffee'])
    say(`\nRow ${row('coffee')} is "coffee": [${coffee.slice(0, 5).join(', ')}, ...]`)
    say('\nWhat is near (POST .../attend, top_k 6, cosine):')
    await showNear(table, names)

    const pair = ['python', 'java']
    const [a, b] = await lookUp(table, pair)
    say(
      `\ncosine(${pair.join(', ')}) is ${cosine(a, b).toFixed(4)}. One SGD step on 1/2 |a - b|^2, ` +
        'learning rate 0.4:',
    )
    const step = await post<{ sequence: number; rows_updated: number }>(`${table}/gradients`, {
      indices: pair.map(row),
      gradients: [a.map((value, i) => value - b[i]), b.map((value, i) => value - a[i])],
      learning_rate: 0.4,
    })
    const [movedA, movedB] = await lookUp(table, pair)
    say(
      `  ${step.rows_updated} rows updated, sequence ${step.sequence}: the cosine is ` +
        `${cosine(movedA, movedB).toFixed(4)} now.`,
    )
    await showNear(table, ['python'])
    if (!service.startedHere) say(`\nThe table stays, also when gatherd restarts: curl ${table}`)
  } finally {
    await service.stop()
  }
}

await main()
