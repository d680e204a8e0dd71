import { afterEach, describe, expect, test, vi } from 'vitest'
import { adam } from '../../src/optimizers/adam.ts'
import type { OptimizerKind, StateDeclaration } from '../../src/optimizers/kind.ts'
import { OPTIMIZER_KINDS } from '../../src/optimizers/kinds.ts'
import { findMissingParts, loadParts } from './kind-parts.ts'
import { PUBLISHED } from './published.ts'

/**
 * The state of a kind that no release has. The step of the kind is that of sgd, and leaves the state alone.
 */
const TOY_STATE: StateDeclaration = {
  journalCode: 200,
  snapshotCode: 'toy-state',
  tensors: [
    { name: 'velocity', width: 'dim' },
    { name: 'scale', width: 'one' },
  ],
  countsSteps: true,
  initial: () => 0.25,
}
const TOY: OptimizerKind = {
  kind: 'toy',
  learningRate: 0.5,
  defaults: { inertia: 0.5 },
  ranges: { inertia: { minimum: 0, exclusiveMaximum: 1 } },
  acceptsLazy: false,
  state: TOY_STATE,
  step: (kernels, _optimizer, rate, rows) => kernels.stepNumbers('stepSgd', rows, 0, rate),
}

/** Loads everything that depends on the list of kinds again, with `kind` in the list. */
const loadWith = async (kind: OptimizerKind) => {
  vi.resetModules()
  vi.doMock('../../src/optimizers/kinds.ts', async (original) => {
    const kinds = await original<typeof import('../../src/optimizers/kinds.ts')>()
    return { ...kinds, OPTIMIZER_KINDS: [...kinds.OPTIMIZER_KINDS, kind] }
  })
  return loadParts()
}

/** Returns the toy kind without a member that its type requires. */
const without = (member: keyof OptimizerKind): OptimizerKind => ({ ...TOY, [member]: undefined })
const withState = (changes: Partial<Record<keyof StateDeclaration, unknown>>): OptimizerKind => ({
  ...TOY,
  state: { ...TOY_STATE, ...changes } as StateDeclaration,
})

afterEach(() => {
  vi.doUnmock('../../src/optimizers/kinds.ts')
  vi.resetModules()
})

describe('Every kind of optimizer', () => {
  test.each(OPTIMIZER_KINDS.map((kind) => [kind.kind, kind] as const))(
    'has all its parts (%s)',
    async (_, kind) => {
      expect(findMissingParts(await loadParts(), kind)).toEqual([])
    },
  )

  test('has the same codes on disk as in every release', () => {
    const codes = OPTIMIZER_KINDS.map(({ kind, state }) => [kind, state?.journalCode, state?.snapshotCode])
    expect(codes).toEqual(PUBLISHED.map(({ kind, codes = [] }) => [kind, codes[0], codes[1]]))
  })
})

describe('A kind that is added to the list', () => {
  test('is complete with its declaration alone', async () => {
    const parts = await loadWith(TOY)
    expect(findMissingParts(parts, TOY)).toEqual([])
    expect(parts.completeOptimizer({ kind: 'toy', max_norm: 2 })).toEqual({
      kind: 'toy',
      learning_rate: 0.5,
      constraint: { kind: 'max_norm', value: 2 },
      inertia: 0.5,
    })
    expect(parts.stateTensors('toy', 7, 3)).toEqual([
      { name: 'optimizer/velocity', shape: [7, 3], from: 0, width: 3 },
      { name: 'optimizer/scale', shape: [7], from: 3, width: 1 },
    ])
    expect(parts.describeStates().at(-1)).toBe(
      '`optimizer/velocity`, `optimizer/scale` and `optimizer/step` (toy)',
    )
    const check = parts.compileChecker(parts.OptimizerInput)
    expect(() => check({ kind: 'toy', inertia: 1 })).toThrow('/inertia')
    expect(() => check({ kind: 'toy', beta1: 0.5 })).toThrow('/beta1')
  })

  test('may have no state, and then needs no codes', async () => {
    const stateless = { ...TOY, state: null }
    const parts = await loadWith(stateless)
    expect(findMissingParts(parts, stateless)).toEqual([])
    expect(parts.hasState({ kind: 'toy' })).toBe(false)
  })

  test.each([
    ['defaults', without('defaults'), 'loading'],
    ['a range', { ...TOY, ranges: {} }, 'schema'],
    ['a learning rate', without('learningRate'), 'schema'],
    ['a kernel step', without('step'), 'kernel step'],
    ['a step that moves weights', { ...TOY, step: () => true }, 'kernel step'],
    ['tensors', withState({ tensors: [] }), 'tensors'],
    ['a list of tensors', withState({ tensors: undefined }), 'tensors'],
    ['distinct tensors', withState({ tensors: [TOY_STATE.tensors[0], TOY_STATE.tensors[0]] }), 'tensors'],
    ['an initial state', withState({ initial: undefined }), 'initial state'],
    ['a journal code', withState({ journalCode: undefined }), 'journal record'],
    ['a journal code that is a byte', withState({ journalCode: 256 }), 'journal record'],
    ['a journal code beside that of no state', withState({ journalCode: 0 }), 'journal record'],
    ['a snapshot code', withState({ snapshotCode: undefined }), 'snapshot header'],
  ])('is reported when it lacks %s', async (_what, kind, part) => {
    const missing = await loadWith(kind).then(
      (parts) => findMissingParts(parts, kind),
      () => ['loading'],
    )
    expect(missing).toContain(part)
  })

  test.each([
    ['name', { ...TOY, kind: adam.kind }],
    ['journal code', withState({ journalCode: adam.state?.journalCode })],
    ['snapshot code', withState({ snapshotCode: adam.state?.snapshotCode })],
  ])('stops the service at its start when it shares the %s of another', async (what, kind) => {
    await expect(loadWith(kind)).rejects.toThrow(`no two optimizer kinds share a ${what}`)
  })
})
