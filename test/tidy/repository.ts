/** Reads the repository once for all rules. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PackageFile } from './packages.ts'
import { readFolder, readSource, ROOT, type SourceFile } from './source.ts'

/** Reads a file of the repository as text. */
export const readText = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** All files of src. */
export const sources = readFolder('src')

/** All files of test. */
export const tests = readFolder('test')

export const packageFile = JSON.parse(readText('package.json')) as PackageFile

/** Makes a source file from text, for the test of a rule. */
export const one = (text: string, path = 'src/http/app.ts'): SourceFile[] => [readSource(path, text)]
