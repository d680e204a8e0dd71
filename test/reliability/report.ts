import { writeFileSync } from 'node:fs'

/** What a test came to. `n`: of what it is named for; `violations`: one line each. */
export interface Finding {
  id: string
  title: string
  n: number
  violations: string[]
  seed: number
  seconds: number
  /** What the same test found with its guard removed: it must find something. null: it is run elsewhere. */
  control: { title: string; found: number; example: string | null } | null
  /** Counts beside. */
  counts: Record<string, number>
}

/** Runs a test and takes its time. */
export const measure = async (
  head: Pick<Finding, 'id' | 'title' | 'seed'>,
  run: () => Promise<Pick<Finding, 'n' | 'violations' | 'counts'>>,
): Promise<Finding> => {
  const startMs = performance.now()
  const found = await run()
  return { ...head, ...found, seconds: Math.round((performance.now() - startMs) / 100) / 10, control: null }
}

/** What a control found, in the form of a report. */
export const toControl = (
  title: string,
  { violations }: Pick<Finding, 'violations'>,
): NonNullable<Finding['control']> => ({
  title,
  found: violations.length,
  example: violations[0] ?? null,
})

/** Writes everything that was found, for programs. */
export const writeReport = (path: string, findings: readonly Finding[]): void =>
  writeFileSync(
    path,
    `${JSON.stringify({ node: process.version, date: new Date().toISOString(), findings }, null, 2)}\n`,
  )

/** The same, for people: a line a test, and a line a violation. */
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
