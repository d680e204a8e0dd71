import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openConnection } from '../../load/wires/connection.ts'
import { startPeers } from '../../load/peers/peers.ts'
import { command, encodeCommand, makeReplyReader, redisWire } from '../../load/wires/redis-wire.ts'
import { listScenarios } from '../../load/scenarios.ts'
import { runSession } from '../../load/session.ts'
import { needs } from '../skips.ts'

/** The answers as status, length and body. */
function read(text: string, pieceBytes: number): [number, number, string][] {
  const answers: [number, number, string][] = []
  let body = ''
  const take = makeReplyReader(
    (status, bodyBytes) => {
      answers.push([status, bodyBytes, body])
      body = ''
    },
    (piece) => {
      body += piece.toString('latin1')
    },
  )
  const bytes = Buffer.from(text, 'latin1')
  for (let offset = 0; offset < bytes.length; offset += pieceBytes)
    take(bytes.subarray(offset, offset + pieceBytes))
  return answers
}

describe('a Redis command', () => {
  test('is an array of bulk strings, with raw bytes', () => {
    expect(encodeCommand(['MGET', Buffer.from([97, 13, 10, 0, 255])]).toString('latin1')).toBe(
      '*2\r\n$4\r\nMGET\r\n$5\r\na\r\n\0\u00ff\r\n',
    )
  })

  test('has lengths in bytes, not characters', () => {
    expect(encodeCommand(['é']).toString()).toBe('*1\r\n$2\r\né\r\n')
  })

  test('for a lookup gets a key per id, and for an update calls the function with gradients', () => {
    const [scenario] = listScenarios(true)
    const lookup = redisWire.encodeRequest(scenario, { ids: Int32Array.of(1, 258) })
    expect(lookup.toString('latin1')).toBe('*3\r\n$4\r\nMGET\r\n$5\r\na\x01\0\0\0\r\n$5\r\na\x02\x01\0\0\r\n')
    const update = redisWire.encodeRequest(
      { ...scenario, dim: 1 },
      { ids: Int32Array.of(7), gradients: Float32Array.of(0.5) },
    )
    expect(update.toString('latin1')).toBe(
      '*8\r\n$5\r\nFCALL\r\n$3\r\nsgd\r\n$1\r\n0\r\n$1\r\na\r\n$1\r\n1\r\n$4\r\n0.01\r\n' +
        '$4\r\n\x07\0\0\0\r\n$4\r\n\0\0\0\u003f\r\n',
    )
  })
})

describe.each([1, 2, 3, 7, 1_000])('the reply parser, in pieces of %i bytes,', (pieceBytes) => {
  test('finds the end of every reply, and its values in order', () => {
    expect(read('*2\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n+OK\r\n:12\r\n$3\r\nxyz\r\n*0\r\n', pieceBytes)).toEqual([
      [200, 5, 'a\r\nbc'],
      [200, 0, ''],
      [200, 0, ''],
      [200, 3, 'xyz'],
      [200, 0, ''],
    ])
  })

  test('reports a missing value or an error for its own reply alone', () => {
    expect(read('*2\r\n$-1\r\n$1\r\na\r\n-ERR no such\r\n+PONG\r\n', pieceBytes)).toEqual([
      [404, 1, 'a'],
      [500, 0, '-ERR no such'],
      [200, 0, ''],
    ])
  })

  test('reads nested arrays', () => {
    expect(read('*2\r\n*2\r\n:1\r\n$1\r\na\r\n$1\r\nb\r\n:3\r\n', pieceBytes)).toEqual([
      [200, 2, 'ab'],
      [200, 0, ''],
    ])
  })
})

describe.skipIf(!needs('redis'))('a Redis server', () => {
  const start = async (pattern: RegExp) => {
    const outPath = mkdtempSync(join(tmpdir(), 'load-redis-'))
    const { targets, skipped } = await startPeers({ python: 'none', pattern, outPath, prefix: [] })
    onTestFinished(async () => {
      await Promise.all(targets.map((target) => target.stop()))
      rmSync(outPath, { recursive: true })
    })
    expect(skipped.filter(({ name }) => pattern.test(name))).toEqual([])
    return targets
  }
  const options = { quick: true, windowSeconds: 0.1, warmupSeconds: 0.02, repeatCount: 1 }
  const measure = async (targets: Awaited<ReturnType<typeof start>>, wanted: RegExp) => {
    const scenarios = listScenarios(true).filter(({ id }) => wanted.test(id))
    return (
      await runSession({
        targets,
        scenarios,
        rowCount: 3_000,
        options,
        apart: false,
        settleSeconds: 0.05,
        say: () => {},
      })
    ).scenarios
  }

  test('returns the uploaded rows, does the step, and is measured', async () => {
    const results = await measure(
      await start(/^redis$/),
      /(lookup-binary-d16-n8|gradients-safetensors-d64-n64)-zipf-c16$/,
    )
    expect(results.map(({ kind }) => kind)).toEqual(['lookup', 'gradients'])
    for (const { measured } of results) expect(measured.redis.median.requestCount).toBeGreaterThan(0)
  })

  test('with fsync synchronises its file before each answer, and is measured on updates only', async () => {
    const targets = await start(/fsync/)
    const [result] = await measure(targets, /gradients-safetensors-d64-n64-zipf-c16-disk/)
    expect(result.measured['redis-fsync'].median.requestCount).toBeGreaterThan(0)
    const connection = await openConnection(targets[0].url, redisWire)
    onTestFinished(() => connection.close())
    expect(String(await command(connection, 'CONFIG', 'GET', 'appendfsync'))).toBe('appendfsyncalways')
    const supported = listScenarios(false).filter((scenario) => targets[0].supports(scenario))
    expect(supported.every(({ durability }) => durability === 'disk')).toBe(true)
  })

  test('reports an id outside the table as an error', async () => {
    const [redis] = await start(/^redis$/)
    const connection = await openConnection(redis.url, redisWire)
    onTestFinished(() => connection.close())
    const [scenario] = listScenarios(true)
    const lookup = await connection.ask(redisWire.encodeRequest(scenario, { ids: Int32Array.of(5) }))
    expect(lookup.status).toBe(404)
    const plan = { ids: Int32Array.of(5), gradients: new Float32Array(scenario.dim) }
    const update = await connection.ask(redisWire.encodeRequest(scenario, plan))
    expect([update.status, String(update.body)]).toEqual([
      500,
      expect.stringContaining('an id outside the table'),
    ])
  })
})
