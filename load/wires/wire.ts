/** Describes a protocol, which encodes the plans of a scenario and finds the end of an answer. */
import type { RequestPlan } from './requests.ts'
import type { SourceTable } from '../rows.ts'
import type { Scenario, TablePlan } from '../scenarios.ts'

/** Called once per answer, with its status (200 when it is right) and the bytes of its body. */
export type AnswerDone = (status: number, bodyBytes: number) => void

/** Reads the bytes of a connection, in pieces of any length. */
export type AnswerReader = (piece: Buffer) => void

export interface Wire {
  /** A whole request. */
  encodeRequest(scenario: Scenario, plan: RequestPlan): Buffer
  /** `keep`, when given, sees every piece of every body. */
  makeReader(done: AnswerDone, keep?: (piece: Buffer) => void): AnswerReader
  /** Creates or replaces the table `plan.name` with the rows of `source`; throws when that is refused. */
  createTable(url: string, plan: TablePlan, source: SourceTable): Promise<void>
}
