import { expect } from 'vitest'
import { describeFinding, type Finding } from './report.ts'

/** It ran, and found nothing wrong. Where it did, the message says all of it, with the seed. */
export const expectNoViolations = (finding: Finding): void => {
  expect(finding.violations, describeFinding(finding)).toEqual([])
  expect(finding.n).toBeGreaterThan(0)
}
