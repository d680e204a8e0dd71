import { describe, expect, test } from 'vitest'
import { OPTIMIZER_KINDS } from '../../src/optimizers/kinds.ts'
import { findNamedKinds, KIND_OWNERS } from './optimizer-kinds.ts'
import { readFolder, readSource } from './source.ts'

const kinds = OPTIMIZER_KINDS.map(({ kind }) => kind)
const find = (path: string, text: string) => findNamedKinds([readSource(path, text)], kinds, KIND_OWNERS)

describe('A kind of optimizer', () => {
  test('is named only by its declaration and its kernel', () => {
    expect(findNamedKinds(readFolder('src'), kinds, KIND_OWNERS)).toEqual([])
  })

  test('is found where it is named elsewhere, in code and in comments', () => {
    expect(find('src/export/plan.ts', `export {}\nexport const counts = kind === 'adam'\n`)).toEqual([
      'src/export/plan.ts:2: names the optimizer adam',
    ])
    expect(find('src/storage/journal.ts', '// As rowwise_adagrad has it.\nexport {}')).toEqual([
      'src/storage/journal.ts:1: names the optimizer rowwise_adagrad',
    ])
    expect(find('src/kernels/wasm/attend.as.ts', '// sgd\n')).toHaveLength(1)
    expect(find('src/kernels/apply.ts', '// sgd\nexport {}')).toHaveLength(1)
    expect(find('src/kernels/reference/floats.ts', '// momentum\nexport {}')).toHaveLength(1)
  })

  test('may be named where it is declared and computed, and as a part of another word', () => {
    for (const path of ['optimizers/adam.ts', 'kernels/reference/optimizer.ts'])
      expect(find(`src/${path}`, `export const kind = 'adam'`)).toEqual([])
    for (const name of ['apply', 'apply-adaptive'])
      expect(find(`src/kernels/wasm/${name}.as.ts`, '// adam\n')).toEqual([])
    expect(find('src/http/app.ts', `export const name = 'adamant'`)).toEqual([])
  })
})
