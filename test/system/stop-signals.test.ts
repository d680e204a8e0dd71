import process from 'node:process'
import { afterEach, expect, test, vi } from 'vitest'
import { onStopSignals, type StopSignal } from '../../src/system/stop-signals.ts'

afterEach(() => vi.restoreAllMocks())

test('The first signal stops the service, its echoes do nothing, and a later signal ends it', () => {
  const listeners = new Map<string | symbol, () => void>()
  vi.spyOn(process, 'on').mockImplementation((signal: string | symbol, listener: () => void) => {
    listeners.set(signal, listener)
    return process
  })
  let nowMs = 5_000
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  const calls: string[] = []
  onStopSignals(
    (signal) => calls.push(`stop at ${signal}`),
    () => calls.push('end'),
  )
  const send = (signal: StopSignal, atMs: number): void => {
    nowMs = atMs
    listeners.get(signal)?.()
  }
  send('SIGINT', 5_000)
  // A terminal signals npm and the service, and npm passes the signal on.
  send('SIGINT', 5_000)
  send('SIGTERM', 5_100)
  expect(calls).toEqual(['stop at SIGINT'])
  send('SIGINT', 6_000)
  expect(calls).toEqual(['stop at SIGINT', 'end'])
})
