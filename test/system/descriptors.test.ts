import { expect, test } from 'vitest'
import { readDescriptorMax } from '../../src/system/descriptors.ts'

test('The limit of this process is a number', () => {
  expect(readDescriptorMax()).toBeGreaterThan(60)
})
