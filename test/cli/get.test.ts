import { execFileSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningProcess, startProcess } from '../helpers/process.ts'
import { type CommandResult, runCommand } from './terminal.ts'

let service: RunningProcess
let folder: string
const file = (name: string): string => join(folder, name)
const values = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer)

beforeAll(async () => {
  service = await startProcess()
  folder = mkdtempSync(join(tmpdir(), 'gatherd-cli-'))
  writeFileSync(file('user.bin'), values)
  await run('put', 'user', file('user.bin'), '--rows', '2', '--dim', '2')
})
afterAll(async () => {
  await service.dispose()
  rmSync(folder, { recursive: true })
})

const run = (...words: string[]): Promise<CommandResult> => runCommand([...words, '--url', service.url])

test('writes into a pipe and leaves it a pipe', async () => {
  execFileSync('mkfifo', [file('pipe')])
  const [{ code, printed, reported }, bytes] = await Promise.all([
    run('get', 'user', file('pipe'), '--format', 'raw'),
    readFile(file('pipe')),
  ])
  expect({ code, printed }).toEqual({ code: 0, printed: '' })
  expect(reported).toMatch(/pipe: version 1 at sequence 0, 2 x 2 float32, 16 B/)
  expect(bytes).toEqual(values)
  expect(lstatSync(file('pipe')).isFIFO()).toBe(true)
})

test('replaces the file behind a link and leaves the link', async () => {
  writeFileSync(file('old.bin'), 'old')
  symlinkSync('old.bin', file('link.bin'))
  expect((await run('get', 'user', file('link.bin'))).code).toBe(0)
  expect(lstatSync(file('link.bin')).isSymbolicLink()).toBe(true)
  expect(readFileSync(file('old.bin'))).toEqual(values)
})
