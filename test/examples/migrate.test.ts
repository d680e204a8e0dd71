import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'examples/migrate')
const RUN_MS_MAX = 300_000

/** A snippet, the modules it imports, and the lines it prints when all its comparisons succeed. */
interface Snippet {
  file: string
  modules: string[]
  environment?: Record<string, string>
  lines: string[]
}

const COMMON = ['numpy', 'requests', 'safetensors']
const KERAS_LINES = [
  'OK rows and mask: keras Embedding',
  'OK out of range: negative ids count from the end, others as on backend',
  'OK step: keras Adagrad',
]

const SNIPPETS: Snippet[] = [
  {
    file: 'jax_to_gatherd.py',
    modules: ['flax', 'jax', 'optax', ...COMMON],
    lines: ['OK rows: flax Embed', 'OK out of range: fill, clip, wrap, A[x], vmap', 'OK step: optax.adagrad'],
  },
  {
    file: 'keras_to_gatherd.py',
    modules: ['keras', 'jax', ...COMMON],
    environment: { KERAS_BACKEND: 'jax' },
    lines: KERAS_LINES,
  },
  {
    file: 'keras_to_gatherd.py',
    modules: ['keras', 'torch', ...COMMON],
    environment: { KERAS_BACKEND: 'torch' },
    lines: KERAS_LINES,
  },
  {
    file: 'torch_to_gatherd.py',
    modules: ['torch', ...COMMON],
    lines: [
      'OK rows: torch Embedding',
      'OK out of range: refused by both',
      'OK bags: torch EmbeddingBag',
      'OK step: torch.optim.SparseAdam',
    ],
  },
]

/** The environment variable `PYTHON` may name the interpreter that has the libraries. */
const PYTHONS = [process.env.PYTHON, 'python3', '/usr/bin/python3'].filter((command) => command !== undefined)

/**
 * Finds a Python that has all the modules. The libraries take gigabytes, which few machines have installed,
 * so these tests are skipped on CI too, unlike all others.
 */
const findPython = (modules: readonly string[]): string | undefined => {
  const isMissing = `any(importlib.util.find_spec(name) is None for name in ${JSON.stringify(modules)})`
  const probe = `import importlib.util, sys; sys.exit(${isMissing})`
  const found = PYTHONS.find(
    (command) => spawnSync(command, ['-c', probe], { stdio: 'ignore', timeout: 20_000 }).status === 0,
  )
  if (found === undefined)
    process.stderr.write(
      `skipped: no Python here has all of ${modules.join(', ')}; PYTHON names one that has\n`,
    )
  return found
}

const runPython = (python: string, file: string, address: string, environment: Record<string, string> = {}) =>
  new Promise<{ code: number | null; output: string; errors: string }>((resolve, reject) => {
    const child = spawn(python, [join(FOLDER, file), address], {
      env: { ...process.env, ...environment },
      timeout: RUN_MS_MAX,
    })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output, errors }))
  })

describe('The migration page', () => {
  const page = readFileSync(join(ROOT, 'docs/how-to/migrate.md'), 'utf8')

  test.each(readdirSync(FOLDER).filter((name) => name.endsWith('.py')))('quotes %s as it is', (name) => {
    expect(page).toContain(`\`\`\`python no-run\n${readFileSync(join(FOLDER, name), 'utf8')}\`\`\`\n`)
  })

  test('shows what each snippet prints', () => {
    for (const { lines } of SNIPPETS) for (const line of lines) expect(page).toContain(`\n${line}`)
  })
})

describe('A migration from', () => {
  let service: Service
  let address: string
  beforeAll(async () => {
    service = await startService()
    address = await service.listen()
  })
  afterAll(() => service.close())

  for (const { file, modules, environment, lines } of SNIPPETS) {
    const python = findPython(modules)
    test.skipIf(python === undefined)(
      `${modules.slice(0, 2).join(' and ')} gets the same numbers as the library`,
      { timeout: RUN_MS_MAX },
      async () => {
        const { code, output, errors } = await runPython(python ?? '', file, address, environment)
        expect(code, errors).toBe(0)
        const printed = output.trimEnd().split('\n')
        expect(printed.map((line, i) => line.startsWith(lines[i] ?? '?'))).toEqual(lines.map(() => true))
      },
    )
  }
})
