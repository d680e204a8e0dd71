import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { takeLease } from '../../../src/upload/staging/commit.ts'
import { makeOlder } from './staging.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gatherd-test-lease-'))
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(directory, { recursive: true, force: true })
})

const LEASE_MS = 60_000
const inFlight = expect.objectContaining({ code: 'IDEMPOTENCY_IN_FLIGHT', headers: { 'Retry-After': '1' } })

test('A lease belongs to one caller until it is released', async () => {
  const lease = await takeLease(directory, LEASE_MS)
  await expect(takeLease(directory, LEASE_MS)).rejects.toEqual(inFlight)
  await lease.release()
  expect(readdirSync(directory)).toEqual([])
  await (await takeLease(directory, LEASE_MS)).release()
})

test('One of many concurrent callers gets the lease, also after its holder has died', async () => {
  for (const before of [[], ['commit-1']]) {
    for (const name of before) makeOlder(join(directory, name), LEASE_MS + 1_000)
    const tried = await Promise.allSettled(Array.from({ length: 20 }, () => takeLease(directory, LEASE_MS)))
    const got = tried.filter((result) => result.status === 'fulfilled')
    expect(got).toHaveLength(1)
    for (const result of tried) if (result.status === 'rejected') expect(result.reason).toEqual(inFlight)
    // The lease is not released, as after a crash: its file stays, and its timer will not run in this test.
    expect(readdirSync(directory).sort()).toEqual([...before, `commit-${before.length + 1}`])
  }
})

test('A lease is renewed until it is released', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const lease = await takeLease(directory, LEASE_MS)
  makeOlder(join(directory, 'commit-1'), LEASE_MS + 1_000)
  vi.advanceTimersByTime(LEASE_MS / 5)
  await expect.poll(() => Date.now() - statSync(join(directory, 'commit-1')).mtimeMs).toBeLessThan(LEASE_MS)
  await expect(takeLease(directory, LEASE_MS)).rejects.toEqual(inFlight)
  await lease.release()
  expect(vi.getTimerCount()).toBe(0)
})

test('A lease cannot be taken without the upload', async () => {
  rmSync(directory, { recursive: true })
  await expect(takeLease(directory, LEASE_MS)).rejects.toMatchObject({ code: 'ENOENT' })
})
