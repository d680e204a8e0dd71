import { describe, expect, test } from 'vitest'
import { describeValues, optionOf, placeholderOf, printQuantity, readQuantity } from '../src/settings.ts'

const GiB = 1024 ** 3

describe('Sizes and durations', () => {
  test('are read by the unit at the end of their setting, in powers of 1000 or of 1024', () => {
    const sizes = {
      '4GB': 4e9,
      '4gb': 4e9,
      '4 GB': 4e9,
      '512MiB': 512 * 1024 ** 2,
      '1.5GiB': 1.5 * GiB,
      '8Gi': 8 * GiB,
      '64kB': 64_000,
      '10b': 10,
      '2TiB': 2048 * GiB,
    }
    for (const [text, bytes] of Object.entries(sizes))
      expect(readQuantity('GATHERD_A_BYTES', text), text).toBe(String(bytes))
    const durations = { '5s': 5_000, '500ms': 500, '15min': 900_000, '15m': 900_000, '1.5h': 5_400_000 }
    for (const [text, ms] of Object.entries(durations))
      expect(readQuantity('GATHERD_A_MS', text), text).toBe(String(ms))
  })

  test('are a share of the memory only where a setting is about memory', () => {
    expect(readQuantity('GATHERD_MEMORY_QUOTA_BYTES', '75%', 4 * GiB)).toBe(String(3 * GiB))
    expect(readQuantity('GATHERD_MEMORY_QUOTA_BYTES', '12.5 %', 4 * GiB)).toBe(String(GiB / 2))
    expect(readQuantity('GATHERD_MEMORY_QUOTA_BYTES', '101%', 4 * GiB)).toBe('101%')
    expect(readQuantity('GATHERD_JOURNAL_BYTES', '75%', 4 * GiB)).toBe('75%')
    expect(readQuantity('GATHERD_DRAIN_MS', '75%', 4 * GiB)).toBe('75%')
  })

  test('are left for the schema to refuse when they are anything else', () => {
    // Docker's 4g is 4 GiB, and Kubernetes' 4G is 4 GB.
    for (const text of ['4g', '4G', '4gg', 'GB', '-4GB', '4e9', '4,5GB', '', '5s', '0x10MB', 'constructor'])
      expect(readQuantity('GATHERD_A_BYTES', text, GiB)).toBe(text)
    for (const text of ['5MB', '5sec', '1h30m', 's'])
      expect(readQuantity('GATHERD_A_MS', text, GiB)).toBe(text)
    expect(readQuantity('GATHERD_PORT', '5s', GiB)).toBe('5s')
  })

  test('print with the largest unit that leaves no fraction', () => {
    expect(printQuantity('A_BYTES', 64 * 1024 ** 2)).toBe('64MiB')
    expect(printQuantity('A_BYTES', 4096)).toBe('4KiB')
    expect(printQuantity('A_BYTES', 1000)).toBe('1000')
    expect(printQuantity('A_MS', 900_000)).toBe('15min')
    expect(printQuantity('A_MS', 0)).toBe('0')
    expect(printQuantity('A_PORT', 8080)).toBe('8080')
  })
})

describe('A setting', () => {
  test('has an option of its own', () => {
    expect(optionOf('GATHERD_PORT')).toBe('--port')
    expect(optionOf('GATHERD_MEMORY_QUOTA_BYTES')).toBe('--memory-quota-bytes')
  })

  test('says which values it may have', () => {
    expect(describeValues('A_PORT', { type: 'integer', minimum: 0, maximum: 65_535 })).toBe(
      'a whole number from 0 to 65535',
    )
    expect(describeValues('A_MS', { minimum: 1_000 })).toBe('a duration from 1s on, such as 500ms or 5s')
    expect(describeValues('A_MEMORY_BYTES', { minimum: 4096, maximum: GiB })).toBe(
      'a size from 4KiB to 1GiB, such as 512MiB or 4GB, or a share of memory, such as 75%',
    )
    expect(describeValues('A', { enum: ['on', 'off'] })).toBe('one of on, off')
    expect(placeholderOf('A_DATA_DIR', { type: 'string' })).toBe('DIR')
  })
})
