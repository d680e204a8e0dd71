/**
 * `npm run docs`: writes the pages that are tables of the source. A test fails when they differ from these.
 */
import { writeFileSync } from 'node:fs'
import { SETTINGS } from '../src/config.ts'
import { ERRORS } from '../src/core/errors.ts'
import { LIMITS } from '../src/core/limits.ts'
import { describeValues, optionOf, printQuantity } from '../src/settings.ts'

const describePreset = (name: string, preset: string | number | undefined): string => {
  if (preset === undefined) return ''
  return `\`${typeof preset === 'number' ? printQuantity(name, preset) : preset}\``
}

/** docs/reference/configuration.md */
export const renderConfiguration = (): string => {
  const rows = Object.entries(SETTINGS).map(([name, setting]) => {
    const { description, default: preset } = setting
    const values = describeValues(name, setting)
    return `| \`${name}\` | \`${optionOf(name)}\` | ${values} | ${describePreset(name, preset)} | ${description} |`
  })
  const limits = Object.entries(LIMITS).map(([name, value]) => `| \`${name}\` | ${value} |`)
  return `# Configuration

Every setting is an environment variable of the service, and an option of \`npx gatherd serve\` and
\`npm start --\`. An option overrides the variable, and the variable the default:

\`\`\`sh no-run
GATHERD_PORT=9000 npm start
npm start -- --port 9000 --memory-quota-bytes 4GB
npx gatherd serve --port 9000 --data-dir /var/lib/gatherd --http-threads 2
\`\`\`

All of them are checked at start. gatherd names all mistakes at once and ends with code 1, or 2 if an option
is among them; a variable that begins with \`GATHERD_\` and is not in this table is such a mistake. One more
may be set: \`GATHERD_URL\` tells \`npx gatherd put\` and the other commands where the service is. \`npm run docs\`
generates this page from the source.

| variable | option | value | default | meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Sizes are bytes, or have a unit: kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB (also Ki, Mi, Gi,
Ti) of 1024. \`4g\` is refused, because Docker means 4 GiB by it and others 4 GB. Durations are milliseconds, or
have a unit: ms, s, min (m), h, d.

A share such as \`75%\` is one of the memory that the process may use: the limit of its cgroup where it has one
(\`docker run --memory\`, \`resources.limits\` of a Kubernetes pod, \`MemoryMax\` of systemd), else the memory of
the machine. The line that the service prints when it is ready says what it came to (\`memoryQuotaBytes\`).

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
