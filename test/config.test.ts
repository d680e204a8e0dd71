import { availableParallelism } from 'node:os'
import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'

const mistakesOf = (environment: Record<string, string>): string[] => {
  try {
    readConfig(environment)
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
      'GATHERD_URLS: there is no such setting',
    ])
  })

  test('reports all mistakes at once, unknown names included', () => {
    expect(mistakesOf({ GATHERD_PORT: '70000', GATHERD_LOG_LEVEL: 'loud', GATHERD_PROT: '1' })).toEqual([
      'GATHERD_PROT: there is no such setting',
      'GATHERD_PORT: must be <= 65535',
      expect.stringContaining('GATHERD_LOG_LEVEL: must be equal to one of the allowed values: trace, debug'),
    ])
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
