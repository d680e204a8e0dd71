import { availableParallelism } from 'node:os'
import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'

const mistakesOf = (environment: Record<string, string>, words: string[] = []): string[] => {
  try {
    readConfig(environment, words)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message.split('\n')
  }
  return expect.unreachable('the environment is wrong')
}

describe('The configuration', () => {
  test('has a default for every setting, and is frozen', () => {
    const config = readConfig({ PATH: '/bin' })
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      dataDir: './data',
      httpThreadCount: availableParallelism(),
      logLevel: 'info',
    })
    expect(config.memoryQuotaBytes).toBeGreaterThan(0)
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('parses numbers', () => {
    expect(
      readConfig({ GATHERD_PORT: '0', GATHERD_HTTP_THREADS: '3', GATHERD_MEMORY_QUOTA_BYTES: '1048576' }),
    ).toMatchObject({
      port: 0,
      httpThreadCount: 3,
      computeThreadCount: 3,
      memoryQuotaBytes: 1_048_576,
    })
    expect(readConfig({ GATHERD_COMPUTE_THREADS: '0' }).computeThreadCount).toBe(0)
  })

  test('accepts GATHERD_URL, which only the commands use', () => {
    expect(readConfig({ GATHERD_URL: 'http://127.0.0.1:8080' }).port).toBe(8080)
    expect(mistakesOf({ GATHERD_URLS: 'http://127.0.0.1:8080' })).toEqual([
      expect.stringMatching(/^GATHERD_URLS: there is no such setting/),
    ])
  })

  test('reports all mistakes at once, unknown names included', () => {
    expect(mistakesOf({ GATHERD_PORT: '70000', GATHERD_LOG_LEVEL: 'loud', GATHERD_PROT: '1' })).toEqual([
      'GATHERD_PROT: there is no such setting; did you mean GATHERD_PORT?',
      'GATHERD_PORT is a whole number from 0 to 65535, not "70000"',
      'GATHERD_LOG_LEVEL is one of trace, debug, info, warn, error, fatal, silent, not "loud"',
    ])
    expect(mistakesOf({ GATHERD_PROT: '1', GATHERD_PORT: 'x' }, ['--prot', '2', '--drain-ms=1h'])).toEqual([
      'there is no option --prot; did you mean --port?; gatherd serve --help lists them',
      'GATHERD_PROT: there is no such setting; did you mean GATHERD_PORT?',
      'GATHERD_PORT is a whole number from 0 to 65535, not "x"',
      '--drain-ms is a duration from 0 to 20s, such as 500ms or 5s, not "1h"',
    ])
  })

  test('blames no setting that follows another one', () => {
    expect(mistakesOf({ GATHERD_HTTP_THREADS: '1.5' })).toEqual([
      'GATHERD_HTTP_THREADS is a whole number from 1 to 256, not "1.5"',
    ])
  })

  test('takes options before the environment, and the environment before defaults', () => {
    const environment = { GATHERD_PORT: '1', GATHERD_HOST: 'localhost', GATHERD_LOG_LEVEL: 'loud' }
    expect(readConfig(environment, ['--port', '2', '--log-level=warn'])).toMatchObject({
      port: 2,
      host: 'localhost',
      logLevel: 'warn',
      drainMs: 5_000,
    })
    expect(readConfig({}, ['--http-threads', '2'])).toMatchObject({
      httpThreadCount: 2,
      computeThreadCount: 2,
    })
  })

  test('reads sizes, shares of the memory and durations', () => {
    const config = readConfig({ GATHERD_MEMORY_QUOTA_BYTES: '4GB', GATHERD_SNAPSHOT_AGE_MS: '1h' }, [
      '--snapshot-journal-bytes=1MiB',
      '--drain-ms=2s',
    ])
    expect(config).toMatchObject({
      memoryQuotaBytes: 4e9,
      snapshotAgeMs: 3_600_000,
      snapshotJournalBytes: 1_048_576,
      drainMs: 2_000,
    })
    const [all, half, preset] = [['--memory-quota-bytes=100%'], ['--memory-quota-bytes=50%'], []].map(
      (words) => readConfig({}, words).memoryQuotaBytes,
    )
    expect([half, preset]).toEqual([Math.floor(all / 2), Math.floor(all * 0.75)])
    expect(mistakesOf({ GATHERD_MEMORY_QUOTA_BYTES: '100kB' })).toHaveLength(1)
  })

  test('accepts an IPv6 address in the brackets of a URL', () => {
    expect(readConfig({ GATHERD_HOST: '[::1]' }).host).toBe('::1')
  })

  test.each([
    ['GATHERD_PORT', ''],
    ['GATHERD_PORT', 'abc'],
    ['GATHERD_PORT', '-1'],
    ['GATHERD_PORT', '80.5'],
    ['GATHERD_HTTP_THREADS', '0'],
    ['GATHERD_HOST', ''],
    ['GATHERD_DATA_DIR', ''],
    ['GATHERD_MEMORY_QUOTA_BYTES', '1e3'],
    ['GATHERD_DRAIN_MS', '60000'],
  ])('refuses %s=%j', (name, value) => expect(mistakesOf({ [name]: value })).toHaveLength(1))
})
