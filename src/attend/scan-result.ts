/** Scores that lie in an arena, ready to be written out. */
export interface ScanResult {
  table: string
  version: number
  sequence: number
  shape: readonly number[]
  scoreCount: number
  /** float32. */
  scoresAt: number
  /** Which rows the scores are of, int64; null: of all rows, in their order. */
  top: { indicesAt: number } | null
}
