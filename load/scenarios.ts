/** What is measured, as plain data: tables, seeds and the list of scenarios. */
import type { Distribution } from './zipf.ts'

export type Encoding = 'binary' | 'json' | 'safetensors'

export interface TablePlan {
  name: string
  dim: number
  /** The request is refused by nobody but costs a write to disk each: only the scenario that says so uses a `disk` table. */
  durability: 'none' | 'disk'
}

export interface Scenario {
  id: string
  kind: 'lookup' | 'gradients'
  encoding: Encoding
  table: string
  dim: number
  durability: TablePlan['durability']
  /** Row ids in one request. */
  idCount: number
  distribution: Distribution
  connectionCount: number
  /** `sweep` scenarios differ from a `main` one in their connections alone, and are drawn as one curve. */
  role: 'main' | 'sweep'
  /** Also measured at a fixed rate (open loop), with latency counted from the moment a request was due. */
  openLoop: boolean
}

export const SEEDS = { values: 1, ids: 20_261, gradients: 7, arrivals: 42 } as const
export const ZIPF_EXPONENT = 1.05
export const LEARNING_RATE = 0.01

/** Lookups and updates have tables of their own, so that every lookup's answer is known in advance. */
export const TABLES: TablePlan[] = [
  { name: 'load16', dim: 16, durability: 'none' },
  { name: 'load64', dim: 64, durability: 'none' },
  { name: 'update64', dim: 64, durability: 'none' },
  { name: 'durable64', dim: 64, durability: 'disk' },
]

const ID_COUNTS = [1, 8, 64, 1_024, 8_192]
const CONNECTION_COUNT = 16
/** Answers of megabytes: more of them in flight measure the client's memory. */
const CONNECTION_COUNT_LARGE = 8
const SWEEP_CONNECTION_COUNTS = [1, 2, 4, 8, 32, 64]

/** Everything that `npm run load` measures; `quick` leaves out what tells least. */
export function listScenarios(quick: boolean): Scenario[] {
  return [...listLookups(), ...listGradients(), ...listSweep()].filter((scenario) => !quick || isQuick(scenario))
}

/** How many rows each table has. */
export const rowCountFor = (quick: boolean): number => (quick ? 100_000 : 1_000_000)

function listLookups(): Scenario[] {
  const scenarios: Scenario[] = []
  for (const encoding of ['binary', 'json'] as const) {
    for (const dim of [16, 64]) {
      for (const idCount of ID_COUNTS) scenarios.push(makeLookup(encoding, dim, idCount, 'zipf'))
    }
  }
  // A handful of rows costs the same wherever they lie.
  for (const dim of [16, 64]) {
    for (const idCount of [64, 1_024, 8_192]) scenarios.push(makeLookup('binary', dim, idCount, 'uniform'))
  }
  return scenarios
}

function listGradients(): Scenario[] {
  const scenarios: Scenario[] = []
  for (const encoding of ['safetensors', 'json'] as const) {
    for (const idCount of [64, 1_024]) scenarios.push(makeGradients(encoding, idCount, 'none'))
  }
  return [...scenarios, makeGradients('safetensors', 64, 'disk')]
}

function listSweep(): Scenario[] {
  const scenarios: Scenario[] = []
  for (const idCount of [8, 1_024]) {
    for (const connectionCount of SWEEP_CONNECTION_COUNTS) {
      scenarios.push(withId({ ...makeLookup('binary', 64, idCount, 'zipf'), role: 'sweep', openLoop: false, connectionCount }))
    }
  }
  return scenarios
}

function makeLookup(encoding: 'binary' | 'json', dim: number, idCount: number, distribution: Distribution): Scenario {
  return withId({
    id: '',
    kind: 'lookup',
    encoding,
    table: `load${dim}`,
    dim,
    durability: 'none',
    idCount,
    distribution,
    connectionCount: idCount > 1_024 ? CONNECTION_COUNT_LARGE : CONNECTION_COUNT,
    role: 'main',
    openLoop: dim === 64 && distribution === 'zipf' && (encoding === 'binary' ? [8, 64, 1_024].includes(idCount) : idCount === 64),
  })
}

function makeGradients(encoding: 'safetensors' | 'json', idCount: number, durability: TablePlan['durability']): Scenario {
  return withId({
    id: '',
    kind: 'gradients',
    encoding,
    table: durability === 'disk' ? 'durable64' : 'update64',
    dim: 64,
    durability,
    idCount,
    distribution: 'zipf',
    connectionCount: CONNECTION_COUNT,
    role: 'main',
    openLoop: false,
  })
}

function withId(scenario: Scenario): Scenario {
  const { kind, encoding, dim, idCount, distribution, connectionCount, durability } = scenario
  const id = `${kind}-${encoding}-d${dim}-n${idCount}-${distribution}-c${connectionCount}${durability === 'disk' ? '-disk' : ''}`
  return { ...scenario, id }
}

function isQuick(scenario: Scenario): boolean {
  if (scenario.role === 'sweep') return scenario.idCount === 8 && [1, 4, 64].includes(scenario.connectionCount)
  if (scenario.distribution === 'uniform') return scenario.idCount === 1_024 && scenario.dim === 16
  if (scenario.encoding === 'json' && scenario.kind === 'lookup') return scenario.idCount === 64 || scenario.idCount === 1_024
  return true
}
