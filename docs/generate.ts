/**
 * `npm run docs`: writes the pages that are tables of the source. A test fails when they differ from these.
 */
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

/** docs/reference/configuration.md */
export const renderConfiguration = (): string => {
  const rows = Object.entries(CONFIG_SCHEMA.properties as Record<string, Setting>).map(([name, setting]) => {
    const preset = setting.default === undefined ? '' : `\`${setting.default}\``
    return `| \`${name}\` | ${describeValues(setting)} | ${preset} | ${setting.description} |`
  })
  const limits = Object.entries(LIMITS).map(([name, value]) => `| \`${name}\` | ${value} |`)
  return `# Configuration

gatherd reads its configuration from environment variables and checks all of it at start. It names all
mistakes at once and ends with code 1; a variable that begins with \`GATHERD_\` and is not in this table is
such a mistake. One more may be set: \`GATHERD_URL\` tells \`npx gatherd put\` and the other commands where
the service is. \`npm run docs\` generates this page from the source.

| variable | values | default | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}

## Limits

These bounds are fixed; \`GET /v1/limits\` answers them too. A request that exceeds one is refused with an
error code, and nothing is changed or lost.

| limit | value |
| --- | --- |
${limits.join('\n')}
`
}

/** docs/reference/errors.md */
export const renderErrors = (): string => {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title, retryable }]) =>
      `| \`${code}\` | ${status} | ${title} | ${retryable ? 'yes' : 'no'} |`,
  )
  return `# Errors

Every error is \`application/problem+json\` (RFC 9457) and carries one of these codes. Its member \`errors\`
names up to ten places in the request by JSON pointer. A retryable request may succeed later without a change;
\`Retry-After\` says when to try again. \`npm run docs\` generates this page from the source, and
\`/docs/errors\` of a running service says for each code what to do.

| code | status | meaning | retryable |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

if (import.meta.main) {
  writeFileSync(new URL('./reference/configuration.md', import.meta.url), renderConfiguration())
  writeFileSync(new URL('./reference/errors.md', import.meta.url), renderErrors())
}
