/** The table that the run prints. */
import { formatCount, formatUs } from './report/format.ts'
import type { Results, ScenarioResult } from './results.ts'

const HEADINGS = [
  'scenario',
  'server',
  'requests/s',
  'rows/s',
  'p50',
  'p99',
  'CPU us/request',
  'CPU ns/row',
  'server cores',
  'client cores',
]

/** One line per scenario and server, in columns. */
export function printTable(results: Results): string {
  const lines = [HEADINGS, ...results.scenarios.flatMap((scenario) => linesOf(scenario))]
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
        .join('  '),
    )
    .join('\n')
}

function linesOf(scenario: ScenarioResult): string[][] {
  return Object.entries(scenario.measured).map(([name, { median }]) => [
    scenario.id,
    name,
    formatCount(median.requestsPerSecond),
    formatCount(median.rowsPerSecond),
    formatUs(median.p50Us),
    formatUs(median.p99Us),
    formatCount(median.serverCpuPerRequestUs),
    formatCount(median.serverCpuPerRowNs),
    formatCount(median.serverCores),
    formatCount(median.clientCores),
  ])
}
