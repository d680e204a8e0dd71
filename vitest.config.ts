import process from 'node:process'
import { defineConfig } from 'vitest/config'
import { COMPILE_CACHE } from './test/helpers/compile-cache.ts'

// The processes of the tests inherit it, and the threads that they start, each of which loads the service.
Object.assign(process.env, COMPILE_CACHE)

/**
 * Test files that get a process of their own: they replace modules, start threads in it, or measure it. A
 * crash or a leaked worker of one of them stays in its file.
 */
const ALONE = [
  'test/config.test.ts',
  'test/http/fast-path/mutants.test.ts',
  'test/http/http-workers.test.ts',
  'test/formats/hostile.test.ts',
  'test/kernels/torn.test.ts',
  'test/load/cpu.test.ts',
  'test/load/peers.test.ts',
  'test/reliability/**/*.test.ts',
  'test/storage/error-latch.test.ts',
  'test/system/**/*.test.ts',
  'test/tables/memory.test.ts',
]

/**
 * Each service that a test starts in its process reserves arenas of 512 MiB, of which it touches a few pages.
 * By default V8 takes the whole of them for garbage to come and collects twice a start, which is half of the
 * start's processor time. With these flags it counts them against a heap that may grow first.
 */
const V8_FLAGS = ['--external-memory-accounted-in-global-limit', '--initial-old-space-size=768']

/**
 * Groups of files that share processes: modules are loaded and compiled once a group. A process that ran all
 * files would hold more and more memory.
 */
const SHARED: Readonly<Record<string, string>> = {
  http: 'test/{http,golden}/**/*.test.ts',
  writing: 'test/{writer,storage,upload,export,update}/**/*.test.ts',
  reading: 'test/{core,lookup,attend,tables,workers,kernels,layout,formats,optimizers}/**/*.test.ts',
  around: 'test/{cli,docs,examples,load,tidy}/**/*.test.ts',
  root: 'test/*.test.ts',
}

/** The patterns of all groups. A test file outside of them would never run. */
export const PATTERNS: readonly string[] = [...Object.values(SHARED), ...ALONE]

export default defineConfig({
  test: {
    environment: 'node',
    pool: 'forks',
    execArgv: V8_FLAGS,
    maxWorkers: 3,
    // The long numbers of cases that CI=true asks for take more than 30 s on a busy machine.
    testTimeout: process.env.CI === 'true' ? 180_000 : 30_000,
    hookTimeout: process.env.CI === 'true' ? 180_000 : 30_000,
    expect: { poll: { timeout: 20_000 } },
    // Named, so that no environment variable changes how the output ends.
    reporters: ['default'],
    projects: [
      ...Object.entries(SHARED).map(([name, include]) => ({
        extends: true as const,
        test: { name, include: [include], exclude: ALONE, isolate: false },
      })),
      { extends: true, test: { name: 'alone', include: ALONE } },
    ],
  },
})
