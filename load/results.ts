/** The results as they are written to `results.json` and read by the report. */
import type { OpenLoopMeasure } from './wires/open-loop.ts'
import type { Machine, Versions } from './measure/machine.ts'
import type { RunMeasure } from './measure/meter.ts'
import type { Scenario } from './scenarios.ts'
import type { Target } from './peers/target.ts'
import type { UploadMeasure } from './upload-table.ts'
import type { Skipped } from './peers/peer.ts'

export const RESULTS_FORMAT = 2

/** Medians over the repeats, and the repeats themselves. */
export interface Measured<T extends RunMeasure = RunMeasure> {
  median: T
  runs: T[]
}

export interface ScenarioResult extends Scenario {
  /** By name of the target. */
  measured: Record<string, Measured>
}

export interface OpenLoopResult {
  scenarioId: string
  ratePerSecond: number
  measured: Record<string, Measured<OpenLoopMeasure>>
}

export interface TargetResult extends Pick<Target, 'name' | 'note' | 'versions' | 'role'> {
  uploads: UploadMeasure[]
  rssPeakBytes?: number
}

export interface Results {
  format: typeof RESULTS_FORMAT
  madeAt: string
  /** How long the whole run took. */
  seconds: number
  machine: Machine
  versions: Versions
  /** Commit of the checkout, with `+` when files differ from it; empty outside a repository. */
  commit: string
  method: {
    quick: boolean
    rowCount: number
    repeatCount: number
    warmupSeconds: number
    windowSeconds: number
    zipfExponent: number
    seeds: Record<string, number>
    /** Where client and servers ran, in a sentence. */
    placement: string
  }
  targets: TargetResult[]
  skipped: Skipped[]
  scenarios: ScenarioResult[]
  openLoop: OpenLoopResult[]
}
