import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeResults } from './fixed-results.ts'

const ROOT = join(import.meta.dirname, '../..')

function run(...args: string[]): { status: number | null; stdout: string; stderr: string; outPath: string } {
  const outPath = mkdtempSync(join(tmpdir(), 'load-run-'))
  onTestFinished(() => rmSync(outPath, { recursive: true }))
  const command = ['--disable-warning=ExperimentalWarning', 'load/run.ts', '--out', outPath, ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: 'utf8' })
  return { status, stdout, stderr, outPath }
}

function writeResults(results: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'load-run-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'results.json'), JSON.stringify(results))
  return join(folder, 'results.json')
}

test('The results of an earlier run can be drawn elsewhere without a change of the README', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const svgPath = join(mkdtempSync(join(tmpdir(), 'load-run-')), 'picture.svg')
  onTestFinished(() => rmSync(join(svgPath, '..'), { recursive: true }))
  const { status, stdout, outPath } = run('--from', writeResults(makeResults()), '--svg', svgPath)
  expect(status).toBe(0)
  expect(stdout).toContain('lookup-binary-d16-n8-zipf-c16')
  expect(JSON.parse(readFileSync(join(outPath, 'results.json'), 'utf8'))).toEqual(makeResults())
  expect(readFileSync(join(outPath, 'report.html'), 'utf8')).toContain('<h2>Server CPU per row</h2>')
  expect(existsSync(svgPath)).toBe(true)
  expect(JSON.parse(readFileSync(svgPath.replace('.svg', '.json'), 'utf8')).scenarios).toHaveLength(6)
  expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toBe(readme)
})

test('Results of another format are refused', () => {
  const { status, stderr } = run('--from', writeResults({ ...makeResults(), format: 1 }))
  expect([status, stderr]).toEqual([1, expect.stringContaining('has format 1, this reads 2')])
})

test('A pattern that matches no scenario is refused before a server is started', () => {
  const { status, stderr } = run('--scenarios', 'nothing-like-this')
  expect([status, stderr]).toEqual([1, 'load: no scenario matches --scenarios\n'])
})
