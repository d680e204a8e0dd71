/** Compares long lists of numbers in tests. */
import { expect } from 'vitest'

/**
 * Expects the same numbers, in the sense of Object.is, as `toEqual` does for arrays of them. `toEqual` takes
 * seconds for 100,000 numbers, so it only describes a difference here.
 */
export const expectSameNumbers = (
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  message?: string,
): void => {
  let same = 0
  while (same < got.length && same < want.length && Object.is(got[same], want[same])) same += 1
  if (same === got.length && same === want.length) return
  expect(Array.from(got), message).toEqual(Array.from(want))
  expect.unreachable(`number ${same} differs: ${got[same]} for ${want[same]}`)
}
