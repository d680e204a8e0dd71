import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { type RunningProcess, startProcess } from '../helpers/process.ts'
import { ROOT } from '../tidy/source.ts'
import { type CommandResult, runCommand } from './terminal.ts'

let service: RunningProcess
let folder: string
const file = (name: string): string => join(folder, name)
/** The matrix of 4 rows and 3 columns that holds the numbers from 0 to 11. */
const numbers = new Float32Array(Array.from({ length: 12 }, (_, i) => i))
const values = Buffer.from(numbers.buffer)

beforeAll(async () => {
  service = await startProcess()
  folder = mkdtempSync(join(tmpdir(), 'gatherd-cli-'))
  writeFileSync(file('user.npy'), Buffer.concat([writeNpyHeader('float32', [4, 3]), values]))
  const tensor = { name: 'rows', elementType: 'float32', shape: [4, 3] } as const
  writeFileSync(file('user.safetensors'), Buffer.concat([writeSafetensorsHeader([tensor]).header, values]))
  writeFileSync(file('user.bin'), values)
})
afterAll(async () => {
  await service.dispose()
  rmSync(folder, { recursive: true })
})

const run = (...words: string[]): Promise<CommandResult> => runCommand([...words, '--url', service.url])
const failed = (code: number, reported: RegExp | string) => ({
  code,
  printed: '',
  reported: typeof reported === 'string' ? reported : expect.stringMatching(reported),
})

describe('put', () => {
  test('creates tables from npy, safetensors and raw numbers, and prints what it created', async () => {
    const line = (table: string) =>
      new RegExp(`^${table}: version 1, 4 x 3 float32, [\\d.]+ s, [\\d.]+ k?B/s\\n$`)
    const made = (table: string) => ({ code: 0, reported: '', printed: expect.stringMatching(line(table)) })
    expect(await run('put', 'npy', file('user.npy'))).toEqual(made('npy'))
    expect(await run('put', 'safe', file('user.safetensors'), '--tensor', 'rows')).toEqual(made('safe'))
    expect(await run('put', 'raw', file('user.bin'), '--rows', '4', '--dim', '3')).toEqual(made('raw'))
    for (const table of ['npy', 'safe', 'raw']) {
      expect((await run('lookup', table, '3', '0')).printed).toBe('3\t9 10 11\n0\t0 1 2\n')
    }
  })

  test('passes dtypes and settings on', async () => {
    const settings = [
      '--set',
      'optimizer={"kind":"adagrad","learning_rate":0.5}',
      '--set',
      'padding_index=-1',
      '--set',
      'durability=none',
    ]
    const options = [
      '--rows',
      '2',
      '--dim',
      '3',
      '--input-dtype',
      'float64',
      '--dtype',
      'float16',
      '--allow-non-finite',
    ]
    writeFileSync(file('double.raw'), new Float64Array([1, 2, 3, NaN, 5, 6]))
    const { printed } = await run('put', 'settings', file('double.raw'), ...options, ...settings, '--json')
    expect(JSON.parse(printed)).toMatchObject({
      name: 'settings',
      dtype: 'float16',
      padding_index: -1,
      durability: 'none',
      optimizer: { kind: 'adagrad', learning_rate: 0.5 },
    })
  })

  test('reports a failure with the reason of the service or of the system in one line', async () => {
    expect(await run('put', 'x', file('user.safetensors'), '--tensor', 'none')).toEqual(
      failed(1, /^gatherd put: [^\n]+ \([A-Z_]+\)\n$/),
    )
    expect(await run('put', 'x', file('user.npy'), '--set', 'nothing=1')).toEqual(
      failed(1, /INVALID_REQUEST/),
    )
    expect(await run('put', 'x', file('none.npy'))).toEqual(failed(1, /^gatherd put: ENOENT: [^\n]+\n$/))
    expect(
      await runCommand(['put', 'x', file('user.npy'), '--url', 'http://127.0.0.1:1', '--parallel', '100']),
    ).toEqual(failed(2, /parallel/))
  })

  test('refuses contradictory and incomplete command lines', async () => {
    writeFileSync(file('text'), 'neither of them')
    const cases: [string[], RegExp][] = [
      [['put', 'x'], /^gatherd put: FILE is missing; gatherd put --help says more\n$/],
      [['put', 'x', file('user.npy'), 'y'], /"y" is one argument too many/],
      [['put', 'x', file('user.bin')], /a raw file needs --rows and --dim/],
      [['put', 'x', file('text')], /is neither npy nor safetensors/],
      [['put', 'x', folder], /is not a regular file|EISDIR/],
      [['put', 'x', file('user.npy'), '--rows', '-3'], /--rows is a whole number from 0 on, not "-3"/],
      [['put', 'x', file('user.npy'), '--set', 'durability'], /--set is NAME=VALUE/],
      [['put', 'x', file('user.npy'), '--nothing'], /there is no option --nothing; gatherd put --help/],
      [['put', 'x', file('user.npy'), '--tenosr=a'], /there is no option --tenosr; did you mean --tensor\?/],
      [['put', 'x', file('user.npy'), '-t'], /there is no option -t; gatherd put --help says more\n$/],
      [['put', 'x', file('user.npy'), '--rows'], /--rows needs a value behind it; gatherd put --help/],
      [['put', 'x', file('user.npy'), '--rows', '--dim=2'], /--rows needs a value behind it/],
      [['put', 'x', file('user.npy'), '--json=1'], /--json takes no value; gatherd put --help says more\n$/],
      [['put', 'x', file('user.npy'), '--part-bytes', '1g'], /--part-bytes is a size, such as 16MiB/],
    ]
    for (const [words, reported] of cases) expect(await run(...words)).toEqual(failed(2, reported))
  })
})

describe('get', () => {
  test('writes the numbers that put has read, in the format of the file name or of --format', async () => {
    await run('put', 'user', file('user.npy'))
    for (const name of ['got.npy', 'got.bin']) {
      const { code, printed } = await run('get', 'user', file(name))
      expect([code, printed]).toEqual([
        0,
        expect.stringContaining(`${file(name)}: version 1 at sequence 0, 4 x 3 float32, `),
      ])
    }
    expect(readFileSync(file('got.npy'))).toEqual(readFileSync(file('user.npy')))
    expect(readFileSync(file('got.bin'))).toEqual(values)
    await run('get', 'user', file('got'), '--format', 'safetensors')
    expect(readFileSync(file('got')).subarray(-values.length)).toEqual(values)
    await run('get', 'user', file('state.npy'), '--include', 'optimizer')
    expect(readFileSync(file('state.npy')).subarray(8).toString('latin1')).toMatch(/^{.*"embeddings"/)
  })

  test('leaves no partial file behind when it fails, and does not touch an existing one', async () => {
    writeFileSync(file('old.npy'), 'old')
    expect(await run('get', 'nobody', file('old.npy'))).toEqual(failed(1, /TABLE_NOT_FOUND/))
    expect(await run('get', 'user', file('old.npy'), '--format', 'frob')).toEqual(
      failed(2, /--format is one of npy, safetensors, raw/),
    )
    expect(await run('get', 'user', join(folder, 'nowhere', 'a.npy'))).toEqual(failed(1, /ENOENT/))
    expect(readFileSync(file('old.npy'), 'utf8')).toBe('old')
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([])
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })
})

describe('ls', () => {
  test('lists tables in columns, or as JSON', async () => {
    await run('put', 'user', file('user.npy'))
    const { printed } = await run('ls')
    const lines = printed.split('\n')
    expect(lines[0]).toMatch(/^NAME +VERSION +ROWS x DIM +DTYPE +BYTES +DURABILITY$/)
    const user = lines.find((line) => line.startsWith('user '))
    expect(user).toMatch(/^user +\d+ +4 x 3 +float32 +48 B +disk$/)
    expect(lines[0]?.indexOf('DTYPE')).toBe(user?.indexOf('float32'))
    const { tables } = JSON.parse((await run('ls', '--json')).printed) as { tables: { name: string }[] }
    expect(tables.find(({ name }) => name === 'user')).toMatchObject({ rows: 4, dim: 3, bytes: 48 })
  })
})

describe('lookup', () => {
  test('accepts negative ids, modes and dtypes', async () => {
    await run('put', 'user', file('user.npy'))
    expect(await run('lookup', 'user', '-1', '7', '--mode', 'fill')).toEqual({
      code: 0,
      reported: '',
      printed: '-1\t9 10 11\n7\tnull null null\n',
    })
    expect((await run('lookup', 'user', '007', '--mode', 'wrap', '--dtype', 'float16')).printed).toBe(
      '007\t9 10 11\n',
    )
    expect(await run('lookup', 'user', '9007199254740993')).toEqual(failed(1, /INVALID_REQUEST/))
  })

  test('pools all ids into one row', async () => {
    expect((await run('lookup', 'user', '0', '1', '--pooling', 'sum')).printed).toBe('sum\t3 5 7\n')
    expect(
      JSON.parse((await run('lookup', 'user', '0', '--pooling', 'mean', '--json')).printed),
    ).toMatchObject({
      shape: [1, 3],
      embeddings: [[0, 1, 2]],
    })
  })

  test('refuses what is not an id, mode or pooling', async () => {
    expect(await run('lookup', 'user', 'one')).toEqual(failed(2, /"one" is not an id/))
    expect(await run('lookup', 'user', '1.5')).toEqual(failed(2, /"1.5" is not an id/))
    expect(await run('lookup', 'user', '1', '--mode', 'none')).toEqual(failed(2, /--mode is one of error, /))
    expect(await run('lookup', 'user')).toEqual(failed(2, /ID... is missing/))
  })
})

describe('rm', () => {
  test('asks first, and deletes only after a yes', async () => {
    await run('put', 'old', file('user.npy'))
    expect(await run('rm', 'old')).toEqual(failed(2, /--yes/))
    const questions: string[] = []
    const ask = (answer: boolean) => async (question: string) => {
      questions.push(question)
      return answer
    }
    expect(await runCommand(['rm', 'old', '--url', service.url], { ask: ask(false) })).toEqual(failed(1, ''))
    expect((await run('lookup', 'old', '0')).code).toBe(0)
    expect((await runCommand(['rm', 'old', '--url', service.url], { ask: ask(true) })).printed).toBe(
      'old: deleted\n',
    )
    expect(questions).toHaveLength(2)
    expect(await run('rm', 'old', '--yes')).toEqual(failed(1, /TABLE_NOT_FOUND/))
  })
})

describe('The command line', () => {
  test('lists its commands and their options', async () => {
    const { code, printed } = await runCommand(['--help'])
    expect(code).toBe(0)
    const names = [...printed.matchAll(/^ {2}gatherd (\w+)/gm)].map((match) => match[1] ?? '')
    expect(names).toEqual(['serve', 'put', 'get', 'ls', 'rm', 'lookup', 'snapshot', 'verify'])
    for (const name of names) {
      const help = await runCommand([name, '--help'])
      expect(help).toMatchObject({ code: 0, reported: '' })
      expect(help.printed).toContain(`Usage: gatherd ${name}`)
    }
    expect((await runCommand(['--version'])).printed).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test('shows its help and its version under the usual short names, too', async () => {
    const help = await runCommand(['put', '--help'])
    expect(await runCommand(['put', '-h'])).toEqual(help)
    expect(await runCommand(['help', 'put'])).toEqual(help)
    expect(await runCommand(['-h'])).toEqual(await runCommand(['--help']))
    expect((await runCommand(['serve', '-h'])).printed).toContain('Usage: gatherd serve')
    expect(await runCommand(['-v'])).toEqual(await runCommand(['--version']))
  })

  test('says what to do about a table or an address that is not there', async () => {
    expect(await run('lookup', 'nobody', '0')).toEqual(
      failed(1, /"nobody" \(TABLE_NOT_FOUND\); gatherd ls lists the tables\n$/),
    )
    expect(await runCommand(['ls', '--url', `${service.url}/api`])).toEqual(
      failed(1, /\(ROUTE_NOT_FOUND\); --url or GATHERD_URL names the service\n$/),
    )
    expect(await runCommand(['ls', '--url', service.url.replace('http', 'https')])).toEqual(
      failed(1, /; gatherd itself speaks http:\/\/ only\n$/),
    )
  })

  test('ends quietly when its reader has seen enough, and in one line when the disk is full', async () => {
    await run('put', 'user', file('user.npy'))
    const node = `'${process.execPath}' '${join(ROOT, 'src/cli.ts')}'`
    const ids = Array.from({ length: 20_000 }, () => '3').join(' ')
    const pipe = `set -o pipefail; ${node} lookup user ${ids} --url ${service.url} | head -n 1`
    const shell = (script: string) => spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    expect(shell(pipe)).toMatchObject({ status: 0, stdout: '3\t9 10 11\n', stderr: '' })
    expect(shell(`${node} ls --url ${service.url} >/dev/full`)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^gatherd: the output cannot be written: ENOSPC[^\n]+\n$/),
    })
  })

  test('exits with code 2 for an unknown command and for an invalid address', async () => {
    expect(await runCommand(['frob'])).toEqual(
      failed(2, 'gatherd: there is no command "frob"; gatherd --help lists them\n'),
    )
    expect(await runCommand(['lokup'])).toEqual(failed(2, /"lokup"; did you mean lookup\?;/))
    expect(await runCommand(['constructor'])).toEqual(failed(2, /no command/))
    expect((await runCommand([])).code).toBe(2)
    for (const url of ['frob', 'ftp://127.0.0.1/', '127.0.0.1:8080']) {
      expect(await runCommand(['ls', '--url', url])).toEqual(failed(2, /is not the address of a service/))
    }
  })

  test('exits with code 1 and says so when nothing answers', async () => {
    const reported =
      'gatherd ls: no service answers at http://127.0.0.1:1 (ECONNREFUSED); gatherd serve starts one, ' +
      'and --url or GATHERD_URL names the service\n'
    expect(await runCommand(['ls', '--url', 'http://127.0.0.1:1'])).toEqual(failed(1, reported))
  })
})
