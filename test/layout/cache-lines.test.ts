import { expect, test } from 'vitest'
import { alignUp, layOut } from '../../src/layout/cache-lines.ts'

test('Sizes are rounded up to whole cache lines', () => {
  expect([0, 1, 63, 64, 65, 2 ** 32 + 1].map(alignUp)).toEqual([0, 64, 64, 64, 128, 2 ** 32 + 64])
})

test('Parts are laid out one after the other, each on a cache line', () => {
  expect(layOut(128, [4, 64, 0, 65, 1])).toEqual([128, 192, 256, 256, 384])
})
