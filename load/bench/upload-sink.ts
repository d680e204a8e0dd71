/**
 * Uploads 1,000,000 x 64 float32 as npy, and sends the same body to a node:http server that discards it.
 *
 *     node load/bench/upload-sink.ts [repeats]
 *
 * It prints the seconds of each, medians of interleaved repeats.
 */
import { fork } from 'node:child_process'
import { createServer, request } from 'node:http'
import { findOrStartService } from '../../examples/service.ts'
import { writeNpyHeader } from '../../src/formats/npy.ts'

const ROWS = 1_000_000
const DIM = 64
const CHUNK_BYTES = 1024 * 1024

const header = writeNpyHeader('float32', [ROWS, DIM])
const bodyBytes = ROWS * DIM * 4
const chunk = Buffer.from(Float32Array.from({ length: CHUNK_BYTES / 4 }, (_, i) => Math.sin(i)).buffer)

/** Sends the body as fast as the other side takes it; returns seconds until the answer is complete. */
const sendBody = async (method: string, url: string): Promise<number> => {
  const from = performance.now()
  const answered = new Promise<number>((resolve, reject) => {
    const headers = { 'content-type': 'application/x-npy', 'content-length': header.length + bodyBytes }
    const outgoing = request(url, { method, headers, agent: false }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode ?? 0))
    })
    outgoing.once('error', reject)
    outgoing.write(header)
    let left = bodyBytes
    const pump = (): void => {
      while (left > 0) {
        const piece = chunk.subarray(0, Math.min(left, CHUNK_BYTES))
        left -= piece.length
        if (!outgoing.write(piece)) {
          outgoing.once('drain', pump)
          return
        }
      }
      outgoing.end()
    }
    pump()
  })
  const status = await answered
  if (status >= 300) throw new Error(`${method} ${url} answered ${status}`)
  return (performance.now() - from) / 1000
}

const runSink = (): void => {
  const server = createServer((incoming, answer) => {
    incoming.resume().once('end', () => answer.end('{}'))
  })
  server.requestTimeout = 0
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as { port: number }).port))
  process.once('disconnect', () => process.exit(0))
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

const main = async (): Promise<void> => {
  const repeats = Number(process.argv[2] ?? 5)
  const sink = fork(import.meta.filename, ['sink'])
  const port = await new Promise<number>((resolve) =>
    sink.once('message', (message) => resolve(Number(message))),
  )
  const service = await findOrStartService('http://127.0.0.1:0')
  const seconds: { gatherd: number[]; sink: number[] } = { gatherd: [], sink: [] }
  for (let repeat = 0; repeat < repeats; repeat++) {
    seconds.sink.push(await sendBody('PUT', `http://127.0.0.1:${port}/`))
    seconds.gatherd.push(await sendBody('PUT', `${service.url}/v1/tables/upload?keep_versions=1`))
  }
  await service.stop()
  sink.disconnect()
  const line = (name: string, values: number[]) =>
    `${name.padEnd(8)} ${median(values).toFixed(3)} s   ` +
    `${(bodyBytes / 1e6 / median(values)).toFixed(0)} MB/s   ` +
    `(${values.map((value) => value.toFixed(2)).join(' ')})`
  process.stdout.write(
    `${line('gatherd', seconds.gatherd)}\n${line('sink', seconds.sink)}\nratio    ` +
      `${(median(seconds.gatherd) / median(seconds.sink)).toFixed(2)}\n`,
  )
}

if (process.argv[2] === 'sink') runSink()
else await main()
