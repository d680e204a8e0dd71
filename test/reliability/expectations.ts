/** The expectation that the reliability tests share. */
import { expect } from 'vitest'
import { describeFinding, type Finding } from './report.ts'

/** Expects that a test ran and found no violation. The message lists the violations and the seed. */
export const expectNoViolations = (finding: Finding): void => {
  expect(finding.violations, describeFinding(finding)).toEqual([])
  expect(finding.n).toBeGreaterThan(0)
}
