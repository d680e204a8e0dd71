import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { adviseHugePages } from '../../src/system/huge-pages.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'

const ffi = process.platform === 'linux' ? process.getBuiltinModule('node:ffi') : undefined
const hasKernelSupport =
  process.platform === 'linux' && readFileSync('/proc/self/smaps', 'utf8').includes('THPeligible')

/** The flags of the mapping that begins with a memory: `hg` is the advice to use huge pages. */
const flagsOf = (memory: WebAssembly.Memory): string[] => {
  const begin = ffi?.getRawPointer(new Uint8Array(memory.buffer)).toString(16)
  const mapping = readFileSync('/proc/self/smaps', 'utf8')
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .find((text) => text.startsWith(`${begin}-`))
  return (
    /VmFlags: (.*)/
      .exec(mapping ?? '')?.[1]
      .trim()
      .split(' ') ?? []
  )
}

describe.skipIf(ffi === undefined || !hasKernelSupport)('huge pages', () => {
  test('are requested for the memory of a table that has room for one', () => {
    const table = createTableMemory(4 * 2 ** 20)
    expect(flagsOf(table)).toContain('hg')
    expect(new Uint8Array(table.buffer).every((byte) => byte === 0)).toBe(true)
    expect(flagsOf(createTableMemory(PAGE_BYTES))).not.toContain('hg')
  })

  test('are not requested for an arena, most of which is never touched', () => {
    expect(flagsOf(createArenaMemory(4 * 2 ** 20))).not.toContain('hg')
  })

  test('are requested without a warning on the terminal', () => {
    const path = JSON.stringify(new URL('../../src/kernels/memories.ts', import.meta.url).href)
    const program = `const { createTableMemory } = await import(${path})
      createTableMemory(4 * 2 ** 20)
      process.emitWarning('still told')`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    expect(stdout).toBe('')
    expect(stderr).not.toContain('FFI')
    expect(stderr).toContain('still told')
  })

  test('are reported as requested or not', () => {
    expect(adviseHugePages(createArenaMemory(4 * 2 ** 20))).toBe(true)
    expect(adviseHugePages(createArenaMemory(PAGE_BYTES))).toBe(false)
  })
})
