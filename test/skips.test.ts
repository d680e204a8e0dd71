import { spawnSync } from 'node:child_process'
import { describe, expect, test, vi } from 'vitest'
import { commandOf, has, needs, runsLong } from './skips.ts'

describe('a test that needs a program beside Node', () => {
  const missing = () => false

  test('runs on a machine that has it', () => {
    expect(needs('redis', {}, () => true)).toBe(true)
    expect(needs('redis', { CI: 'true' }, () => true)).toBe(true)
  })

  test('is skipped with a message that names the missing program', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    expect(needs('chromium', {}, missing)).toBe(false)
    expect(write).toHaveBeenCalledExactlyOnceWith(
      'skipped: the machine lacks Chromium (Debian: apt-get install chromium)\n',
    )
    write.mockRestore()
  })

  test('fails instead of being skipped when CI=true', () => {
    expect(() => needs('python', { CI: 'true' }, missing)).toThrow('may not skip')
  })

  test('runs in .ci/run, and says so elsewhere, where it takes long', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    expect(runsLong('every failpoint', { CI: 'true' })).toBe(true)
    expect(write).not.toHaveBeenCalled()
    expect(runsLong('every failpoint', {})).toBe(false)
    expect(write).toHaveBeenCalledExactlyOnceWith(
      'skipped: every failpoint, which .ci/run runs (CI=true npm test)\n',
    )
    write.mockRestore()
  })

  test('gets a Python that has NumPy and requests', ({ skip }) => {
    skip(!needs('python'))
    const { stdout } = spawnSync(
      commandOf('python'),
      ['-c', 'import numpy, requests; print(numpy.arange(3).sum())'],
      { encoding: 'utf8' },
    )
    expect(stdout.trim()).toBe('3')
    expect(has('python')).toBe(true)
  })
})
