/** How a server is spoken to: the plans of a scenario as bytes of its protocol, and where an answer ends. */
import type { RequestPlan } from './requests.ts'
import type { SourceTable } from '../rows.ts'
import type { Scenario, TablePlan } from '../scenarios.ts'

/** Told once per answer: 200 when it is one to the request, and the bytes of its body. */
export type AnswerDone = (status: number, bodyBytes: number) => void

/** Is given what comes from a connection, in pieces of any length. */
export type AnswerReader = (piece: Buffer) => void

export interface Wire {
  /** A whole request. */
  encodeRequest(scenario: Scenario, plan: RequestPlan): Buffer
  /** `keep`, when given, sees every piece of every body. */
  makeReader(done: AnswerDone, keep?: (piece: Buffer) => void): AnswerReader
  /** Creates or replaces the table `plan.name` with the rows of `source`; throws when that is refused. */
  createTable(url: string, plan: TablePlan, source: SourceTable): Promise<void>
}
