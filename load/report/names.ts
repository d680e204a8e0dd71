/** Scenarios in words, and in the groups in which the report shows them. */
import type { ScenarioResult } from '../results.ts'
import { formatCount } from './format.ts'

const ENCODING_NAMES = { binary: 'Binary', json: 'JSON', safetensors: 'safetensors' } as const

export interface ScenarioGroup {
  title: string
  scenarios: ScenarioResult[]
}

/** The main scenarios, those that differ in the number of ids alone together. */
export function groupScenarios(scenarios: ScenarioResult[]): ScenarioGroup[] {
  const groups = new Map<string, ScenarioResult[]>()
  for (const scenario of scenarios.filter((candidate) => candidate.role === 'main')) {
    const title = titleOf(scenario)
    groups.set(title, [...(groups.get(title) ?? []), scenario])
  }
  return [...groups].map(([title, members]) => ({ title, scenarios: members }))
}

function titleOf({ kind, encoding, dim, distribution }: ScenarioResult): string {
  if (kind === 'gradients') return `Gradient updates, ${dim} dimensions, SGD`
  return (
    `${ENCODING_NAMES[encoding]} lookup, ${dim} dimensions, ` +
    `${distribution === 'zipf' ? 'Zipf' : 'uniform'} ids`
  )
}

/** The difference of a scenario from the others of its group. */
export function headingOf({ kind, encoding, idCount, durability }: ScenarioResult): string {
  const ids = `${formatCount(idCount)} ${idCount === 1 ? 'id' : 'ids'}`
  if (kind === 'lookup') return ids
  return `${formatCount(idCount)} rows, ${durability === 'disk' ? 'on disk' : ENCODING_NAMES[encoding]}`
}

/** Ids and dimensions of a scenario, under a heading that names its encoding. */
export const sizeOf = ({ idCount, dim, distribution }: ScenarioResult): string =>
  `${formatCount(idCount)} × ${dim}${distribution === 'uniform' ? ', uniform' : ''}`

/** A scenario in few words, on its own. */
export const labelOf = (scenario: ScenarioResult): string =>
  `${scenario.durability === 'disk' ? 'to disk' : ENCODING_NAMES[scenario.encoding]}, ${sizeOf(scenario)}`
