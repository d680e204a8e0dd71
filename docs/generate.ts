/** Writes the pages that are tables of the source: `npm run docs`. A test fails when they differ from what this renders. */
import { writeFileSync } from 'node:fs'
import { CONFIG_SCHEMA } from '../src/config.ts'
import { ERRORS } from '../src/core/errors.ts'
import { LIMITS } from '../src/core/limits.ts'

interface Setting {
  type?: string
  enum?: readonly string[]
  default?: string | number
  minimum?: number
  maximum?: number
  description?: string
}

const describeValues = ({ type, enum: words, minimum, maximum }: Setting): string => {
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(', ')
  if (type === 'string') return 'text'
  return maximum === undefined ? `whole number from ${minimum}` : `whole number, ${minimum} to ${maximum}`
}

/** docs/configuration.md */
export const renderConfiguration = (): string => {
  const rows = Object.entries(CONFIG_SCHEMA.properties as Record<string, Setting>).map(
    ([name, setting]) =>
      `| \`${name}\` | ${describeValues(setting)} | ${setting.default === undefined ? '' : `\`${setting.default}\``} | ${setting.description} |`,
  )
  const limits = Object.entries(LIMITS).map(([name, value]) => `| \`${name}\` | ${value} |`)
  return `# Configuration

gatherd is configured by its environment. Everything is checked at start: all mistakes are named at once, a \`GATHERD_\` name that is not
in this table is one of them, and the process ends with code 1. Only \`GATHERD_URL\`, which tells \`npx gatherd put\` and the other commands where the
service is, may be set too. This page is generated (\`npm run docs\`).

| variable | values | default | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}

## Limits

Fixed bounds, as \`GET /v1/limits\` shows them. Reaching one is an error with a name, and loses nothing.

| limit | value |
| --- | --- |
${limits.join('\n')}
`
}

/** docs/errors.md */
export const renderErrors = (): string => {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title, retryable }]) =>
      `| \`${code}\` | ${status} | ${title} | ${retryable ? 'yes' : 'no'} |`,
  )
  return `# Errors

Every error is \`application/problem+json\` (RFC 9457) with one of these codes. \`errors\` names up to ten places by JSON pointer. A retryable
request may succeed later as it is; \`Retry-After\` says when to try. This page is generated (\`npm run docs\`).

| code | status | meaning | retryable |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

if (import.meta.main) {
  writeFileSync(new URL('./configuration.md', import.meta.url), renderConfiguration())
  writeFileSync(new URL('./errors.md', import.meta.url), renderErrors())
}
