import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { cpuBetween, type CpuReading, readCpu, readMachineCpu, readMemory } from '../../load/measure/cpu.ts'

const BURN = 'const end = process.threadCpuUsage().user + 150e3; while (process.threadCpuUsage().user < end);'

const POST = "require('node:worker_threads').parentPort.postMessage('burnt')"
const BURN_IN_THREAD = `${BURN} ${POST}; setInterval(() => {}, 1e6)`

/**
 * Once told to, uses the processor for 150 ms in each of two threads, prints its use since its start, and
 * waits.
 */
const PROGRAM = `
const { Worker } = require('node:worker_threads')
process.stdin.once('data', () => {
  const worker = new Worker(${JSON.stringify(BURN_IN_THREAD)}, { eval: true })
  ${BURN}
  worker.once('message', () => console.log(JSON.stringify(process.cpuUsage())))
})
console.log('ready')
`

async function startChild(program = PROGRAM): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child as unknown as ChildProcess & { pid: number }
}

const reading = (ticksNs: number, threads: Record<string, number>): CpuReading => ({
  ticksNs,
  threadNs: new Map(Object.entries(threads)),
})

describe('the CPU time between two readings', () => {
  test('is the sum over all threads, new ones included', () => {
    expect(cpuBetween(reading(0, { 1: 1_000, 2: 50 }), reading(0, { 1: 4_000, 2: 70, 3: 600 }))).toBe(3_620)
  })

  test('is the count of the process when a thread has ended', () => {
    expect(cpuBetween(reading(10_000_000, { 1: 1_000, 2: 50 }), reading(40_000_000, { 1: 4_000 }))).toBe(
      30_000_000,
    )
  })

  test('is the count of the process when the kernel does not report threads', () => {
    expect(cpuBetween(reading(10_000_000, {}), reading(20_000_000, {}))).toBe(10_000_000)
  })
})

describe.runIf(existsSync('/proc/self/stat'))('a child process', () => {
  test('is charged the time that it reports for all its threads', async () => {
    const child = await startChild()
    const before = readCpu(child.pid) as CpuReading
    child.stdin?.write('go\n')
    const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    const spentMs = cpuBetween(before, readCpu(child.pid) as CpuReading) / 1e6
    const { user, system } = JSON.parse(String(said)) as { user: number; system: number }
    // The count of the child includes its start, before the first reading.
    expect(spentMs).toBeGreaterThan(290)
    expect(spentMs).toBeLessThan((user + system) / 1e3 + 20)
  })

  test('is counted together with its own children', async () => {
    const child = await startChild(`
      const { spawn } = require('node:child_process')
      const below = spawn(process.execPath, ['-e', ${JSON.stringify(PROGRAM)}], { stdio: 'inherit' })
      process.once('SIGTERM', () => below.kill('SIGKILL') && process.exit())`)
    onTestFinished(async () => {
      child.kill('SIGTERM')
      await once(child, 'exit')
    })
    const before = readCpu(child.pid) as CpuReading
    child.stdin?.write('go\n')
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    expect(cpuBetween(before, readCpu(child.pid) as CpuReading) / 1e6).toBeGreaterThan(290)
    const alone =
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1]) * 1_024
    expect(readMemory(child.pid)?.rssBytes).toBeGreaterThan(alone * 1.5)
  })

  test('has its resident memory read in bytes', async () => {
    const { pid } = await startChild()
    const memory = readMemory(pid)
    expect(memory?.rssBytes).toBeGreaterThan(10e6)
    expect(memory?.rssPeakBytes).toBeGreaterThanOrEqual(memory?.rssBytes as number)
  })

  test('that has ended is read as nothing, not as an error', async () => {
    const child = await startChild()
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(readCpu(child.pid)).toBeUndefined()
    expect(readMemory(child.pid)).toBeUndefined()
  })

  test('is part of the use of the whole machine', () => {
    expect(readMachineCpu()).toBeGreaterThan(0)
  })
})
