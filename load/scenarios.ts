/** The plan of a run as plain data: tables, seeds and the list of scenarios. */
import type { Distribution } from './zipf.ts'

export type Encoding = 'binary' | 'json' | 'safetensors'

export interface TablePlan {
  name: string
  dim: number
  /** `disk` costs a sync for each update, so only the scenario that asks for it has such a table. */
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

const CONNECTION_COUNT = 16
/** Answers of megabytes: more of them in flight measure the client's memory. */
const CONNECTION_COUNT_LARGE = 8
const SWEEP_CONNECTION_COUNTS = [1, 4, 64]

/** All scenarios of `npm run load`; `quick` leaves out those that tell least. */
export function listScenarios(quick: boolean): Scenario[] {
  return [...listLookups(), ...listGradients(), ...listSweep()].filter(
    (scenario) => !quick || isQuick(scenario),
  )
}

/** How many rows each table has. */
export const rowCountFor = (quick: boolean): number => (quick ? 100_000 : 1_000_000)

function listLookups(): Scenario[] {
  return [
    ...[8, 1_024, 8_192].map((idCount) => makeLookup('binary', 16, idCount, 'zipf')),
    ...[8, 64, 1_024, 8_192].map((idCount) => makeLookup('binary', 64, idCount, 'zipf')),
    // A few rows cost the same whatever their ids.
    ...[16, 64].map((dim) => makeLookup('binary', dim, 1_024, 'uniform')),
    makeLookup('json', 16, 1_024, 'zipf'),
    ...[8, 64].map((idCount) => makeLookup('json', 64, idCount, 'zipf')),
  ]
}

function listGradients(): Scenario[] {
  return [
    ...[64, 1_024].map((idCount) => makeGradients('safetensors', idCount, 'none')),
    makeGradients('json', 1_024, 'none'),
    ...[64, 1_024].map((idCount) => makeGradients('safetensors', idCount, 'disk')),
  ]
}

function listSweep(): Scenario[] {
  return SWEEP_CONNECTION_COUNTS.map((connectionCount) =>
    withId({ ...makeLookup('binary', 64, 64, 'zipf'), role: 'sweep', openLoop: false, connectionCount }),
  )
}

function makeLookup(
  encoding: 'binary' | 'json',
  dim: number,
  idCount: number,
  distribution: Distribution,
): Scenario {
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
    openLoop:
      dim === 64 &&
      distribution === 'zipf' &&
      (idCount === 64 || (encoding === 'binary' && idCount === 1_024)),
  })
}

function makeGradients(
  encoding: 'safetensors' | 'json',
  idCount: number,
  durability: TablePlan['durability'],
): Scenario {
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
  const place = durability === 'disk' ? '-disk' : ''
  const id = `${kind}-${encoding}-d${dim}-n${idCount}-${distribution}-c${connectionCount}${place}`
  return { ...scenario, id }
}

function isQuick({ kind, encoding, dim, idCount, distribution, durability, role }: Scenario): boolean {
  if (role === 'sweep') return true
  if (kind === 'gradients') return encoding === 'safetensors' && (durability === 'none' || idCount === 64)
  if (encoding === 'json') return dim === 64 && idCount === 64
  return distribution === 'zipf' && idCount <= 1_024 && !(dim === 64 && idCount === 8)
}
