import { describe, expect, test } from 'vitest'
import * as arrows from './arrows.ts'
import { one, sources } from './repository.ts'
import { readSource } from './source.ts'

describe('Imports of one room from another', () => {
  test('follow the arrows from main down to core', () => {
    expect(arrows.findLayerViolations(sources, arrows.ARROWS)).toEqual([])
    const find = (path: string, text: string) => arrows.findLayerViolations(one(text, path), arrows.ARROWS)
    expect(
      find(
        'src/http/app.ts',
        `import { refuse } from '../core/errors.ts'\nimport { call } from '../writer/client.ts'`,
      ),
    ).toEqual([])
    expect(find('src/http/app.ts', `export * from '../writer/updates/apply.ts'`)).toEqual([
      'src/http/app.ts: may not import src/writer/updates/apply.ts',
    ])
    expect(find('src/core/errors.ts', `import type { A } from '../tables/a.ts'`)).toEqual([
      'src/core/errors.ts: may not import src/tables/a.ts',
    ])
    expect(find('src/kernels/table.ts', `import { ROWS_AT } from '../layout/table-layout.ts'`)).toEqual([])
    expect(find('src/kernels/table.ts', `await import('../tables/table.ts')`)).toHaveLength(1)
    expect(
      find('src/formats/npy.ts', `new Worker(new URL('../lookup/plan.ts', import.meta.url))`),
    ).toHaveLength(1)
    expect(find('src/formats/npy.ts', `export type A = import('../lookup/plan.ts').Plan`)).toHaveLength(1)
    expect(find('src/helpers/a.ts', '')).toEqual(['src/helpers/a.ts: the arrows do not know helpers'])
  })

  test('are refused from storage to the writer, from layout to kernels, and from a verb to HTTP', () => {
    const find = (path: string, specifier: string) =>
      arrows.findLayerViolations(one(`import { a } from '${specifier}'`, path), arrows.ARROWS)
    expect(find('src/storage/journal.ts', '../writer/protocol.ts')).toHaveLength(1)
    expect(find('src/layout/table-layout.ts', '../kernels/table.ts')).toHaveLength(1)
    expect(find('src/update/decode.ts', '../http/validate.ts')).toHaveLength(1)
    expect(find('src/lookup/plan.ts', '../http/validate.ts')).toHaveLength(1)
    expect(find('src/lookup/plan.ts', '../writer/client.ts')).toHaveLength(1)
  })

  test('use every arrow of the list', () => {
    expect(arrows.findUnusedArrows(sources, arrows.ARROWS)).toEqual([])
    const files = [
      ...one(`import '../writer/client.ts'\nimport '../core/a.ts'`, 'src/http/app.ts'),
      ...one(`import './http/app.ts'`, 'src/main.ts'),
    ]
    expect(
      arrows.findUnusedArrows(files, { main: ['http'], http: ['writer/client', 'core'], core: [] }),
    ).toEqual([])
    expect(
      arrows.findUnusedArrows(files, { main: ['http', 'core'], http: ['writer/writer', 'core'], core: [] }),
    ).toEqual(['main -> core: no import uses this arrow', 'http -> writer/writer: no import uses this arrow'])
  })

  test('have only arrows that point down the list', () => {
    expect(arrows.findUpwardArrows(arrows.ARROWS)).toEqual([])
    expect(arrows.findUpwardArrows({ http: ['writer/client'], writer: ['core'], core: [] })).toEqual([])
    expect(arrows.findUpwardArrows({ http: ['core'], core: ['http/app'] })).toEqual([
      'core -> http/app: does not point down',
    ])
    expect(arrows.findUpwardArrows({ http: ['nowhere'] })).toEqual(['http -> nowhere: does not point down'])
  })

  test('have no cycle of rooms, even where no files form a cycle', () => {
    expect(arrows.findRoomCycles(sources)).toEqual([])
    const http = (specifier: string) => readSource('src/http/app.ts', `import '${specifier}'`)
    const update = (specifier: string) => readSource('src/update/plan.ts', `import '${specifier}'`)
    const lookup = readSource('src/lookup/plan.ts', `import '../http/validate.ts'`)
    expect(arrows.findRoomCycles([http('../update/decode.ts'), update('../core/errors.ts')])).toEqual([])
    expect(arrows.findRoomCycles([http('../update/decode.ts'), update('../http/validate.ts')])).toEqual([
      'http -> update -> http',
    ])
    expect(arrows.findRoomCycles([http('../update/decode.ts'), update('../lookup/bags.ts'), lookup])).toEqual(
      ['http -> update -> lookup -> http'],
    )
  })
})
