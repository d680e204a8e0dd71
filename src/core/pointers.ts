/** JSON pointers (RFC 6901), by which errors name the places of a body that they are about. */

/** A member name as part of a pointer. */
export const escapePointer = (name: string): string =>
  name.includes('~') || name.includes('/') ? name.replaceAll('~', '~0').replaceAll('/', '~1') : name

/** The path of flat position `position` in an array of `shape`, or in ragged rows of these lengths. */
export const pointerTo = (position: number, shape: readonly number[], lengths?: Int32Array): string => {
  if (lengths !== undefined) {
    let row = 0
    let column = position
    for (; column >= lengths[row]; row++) column -= lengths[row]
    return `/${row}/${column}`
  }
  let path = ''
  let rest = position
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    path = `/${rest % shape[axis]}${path}`
    rest = Math.floor(rest / shape[axis])
  }
  return path
}
