import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // A process per file: a crash, a leaked worker or a signal handler stays in its file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Named, so that no environment variable changes how the output ends.
    reporters: ['default'],
  },
})
