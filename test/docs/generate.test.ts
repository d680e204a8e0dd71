import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { renderConfiguration, renderErrors } from '../../docs/generate.ts'

const read = (page: string) => readFileSync(new URL(`../../docs/reference/${page}`, import.meta.url), 'utf8')

test('The reference pages of settings and errors are up to date (npm run docs)', () => {
  expect(read('configuration.md')).toBe(renderConfiguration())
  expect(read('errors.md')).toBe(renderErrors())
})
