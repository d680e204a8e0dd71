import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type RunningProcess, startProcess } from '../../helpers/process.ts'
import { runsOf } from '../../helpers/property-runs.ts'

interface Info {
  upload: string
  parts: { part: number }[]
  received_bytes: number
}

test('An upload is shared by all HTTP workers, survives a crash, and is committed once', {
  timeout: 240_000,
}, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-test-uploads-'))
  const environment = {
    GATHERD_DATA_DIR: dataDir,
    GATHERD_HTTP_THREADS: String(runsOf({ quick: 2, long: 3 })),
    GATHERD_COMPUTE_THREADS: '0',
  }
  const processes: RunningProcess[] = []
  const start = async () => {
    processes.push(await startProcess(environment))
    return processes[processes.length - 1]
  }
  // Each call has a new connection, which the system gives to any of the HTTP workers.
  const call = (running: RunningProcess, method: string, path: string, body?: RequestInit['body']) =>
    fetch(running.url + path, {
      method,
      body,
      headers: {
        connection: 'close',
        ...(typeof body === 'string' && { 'content-type': 'application/json' }),
      },
    })
  try {
    const first = await start()
    const begun = await call(
      first,
      'POST',
      '/v1/tables/t/uploads',
      JSON.stringify({ rows: 32, dim: 1, bytes: 128 }),
    )
    const path = String(begun.headers.get('location'))
    const part = (value: number) => new Uint8Array(Float32Array.of(value).buffer)
    const send = (running: RunningProcess, value: number) =>
      call(running, 'PUT', `${path}/parts/${value}`, part(value))
    for (const sent of await Promise.all(Array.from({ length: 16 }, (_, i) => send(first, 2 * i))))
      expect(sent.status).toBe(200)
    first.child.kill('SIGKILL')
    await first.exited

    const second = await start()
    const infos = await Promise.all(
      Array.from({ length: 12 }, async () => (await (await call(second, 'GET', path)).json()) as Info),
    )
    for (const { parts } of infos)
      expect(parts.map(({ part }) => part)).toEqual(Array.from({ length: 16 }, (_, i) => 2 * i))
    for (const sent of await Promise.all(Array.from({ length: 16 }, (_, i) => send(second, 2 * i + 1))))
      expect(sent.status).toBe(200)

    // A 409 says that another commit of the upload is running, so the call is repeated.
    const commit = async (): Promise<unknown> => {
      const answer = await call(second, 'POST', `${path}/commit`)
      if (answer.status === 409) return commit()
      expect(answer.status).toBe(201)
      return answer.json()
    }
    const answers = await Promise.all(Array.from({ length: 6 }, commit))
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect(answers[0]).toMatchObject({ version: 1, rows: 32 })
    const data = new Float32Array(
      await (
        await fetch(`${second.url}/v1/tables/t/data`, { headers: { accept: 'application/octet-stream' } })
      ).arrayBuffer(),
    )
    expect([...data]).toEqual(Array.from({ length: 32 }, (_, i) => i))
    expect(readdirSync(join(dataDir, 'uploads'))).toHaveLength(1)
  } finally {
    for (const running of processes) await running.dispose()
    rmSync(dataDir, { recursive: true, force: true })
  }
})
