/** The findings of the reliability tests and their report. */
import { writeFileSync } from 'node:fs'

/** The result of a test. `n` counts its cases, and `violations` has one line for each. */
export interface Finding {
  id: string
  title: string
  n: number
  violations: string[]
  seed: number
  seconds: number
  /** The number of violations with a guard removed, which must not be 0. null when it is run elsewhere. */
  control: { title: string; found: number; example: string | null } | null
  /** Further counts by name. */
  counts: Record<string, number>
}

/** Runs a test and measures its time. */
export const measure = async (
  head: Pick<Finding, 'id' | 'title' | 'seed'>,
  run: () => Promise<Pick<Finding, 'n' | 'violations' | 'counts'>>,
): Promise<Finding> => {
  const startMs = performance.now()
  const found = await run()
  return { ...head, ...found, seconds: Math.round((performance.now() - startMs) / 100) / 10, control: null }
}

/** Returns the finding of a negative control in the form of the report. */
export const toControl = (
  title: string,
  { violations }: Pick<Finding, 'violations'>,
): NonNullable<Finding['control']> => ({
  title,
  found: violations.length,
  example: violations[0] ?? null,
})

/** Writes all findings as JSON. */
export const writeReport = (path: string, findings: readonly Finding[]): void =>
  writeFileSync(
    path,
    `${JSON.stringify({ node: process.version, date: new Date().toISOString(), findings }, null, 2)}\n`,
  )

/** Describes a finding for people: one line for the test and one for each violation. */
export const describeFinding = ({
  id,
  title,
  n,
  violations,
  seed,
  seconds,
  control,
  counts,
}: Finding): string => {
  const beside = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  const guard = control === null ? [] : [`control (${control.title}) found ${control.found}`]
  const line = [
    `${id} ${title}: ${violations.length} violations of ${n}`,
    ...beside,
    ...guard,
    `seed ${seed}`,
    `${seconds} s`,
  ].join(', ')
  return [line, ...violations.slice(0, 20).map((violation) => `  ${violation}`)].join('\n')
}
