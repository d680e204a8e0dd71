// Rows of an update that mean the same row of the table become one. `slots[i]` says which of the distinct rows the i-th row means.

/** `target` += `source`, `dim` numbers. */
@inline
function addRow(target: usize, source: usize, dim: i32): void {
  let k = 0
  for (; k <= dim - 4; k += 4) {
    const at = <usize>k << 2
    v128.store(target + at, f32x4.add(v128.load(target + at), v128.load(source + at)))
  }
  for (; k < dim; k++) {
    const at = <usize>k << 2
    store<f32>(target + at, load<f32>(target + at) + load<f32>(source + at))
  }
}

@inline
function copyRow(target: usize, source: usize, dim: i32): void {
  let k = 0
  for (; k <= dim - 4; k += 4) v128.store(target + (<usize>k << 2), v128.load(source + (<usize>k << 2)))
  for (; k < dim; k++) store<u32>(target + (<usize>k << 2), load<u32>(source + (<usize>k << 2)))
}

/**
 * Sums rows of equal slots in order, in place: slots count up where they first appear, so that a sum never lies behind the row it begins
 * with. Negative slots are left out. Returns how many sums there are; they lie at the beginning.
 */
export function sumRows(slotsAt: usize, count: i32, rowsAt: usize, dim: i32): i32 {
  const rowBytes = <usize>dim << 2
  let sums = 0
  let source = rowsAt
  for (let i = 0; i < count; i++) {
    const slot = load<i32>(slotsAt + (<usize>i << 2))
    const target = rowsAt + <usize>slot * rowBytes
    if (slot == sums) {
      sums++
      if (target != source) copyRow(target, source, dim)
    } else if (<u32>slot < <u32>sums) addRow(target, source, dim)
    source += rowBytes
  }
  return sums
}

/** Adds row i to row `slots[i]` of the `targetCount` rows at `targetAt`, in order. */
export function addRows(slotsAt: usize, count: i32, rowsAt: usize, targetAt: usize, targetCount: i32, dim: i32): void {
  const rowBytes = <usize>dim << 2
  for (let i = 0; i < count; i++) {
    const slot = load<i32>(slotsAt + (<usize>i << 2))
    if (<u32>slot < <u32>targetCount) addRow(targetAt + <usize>slot * rowBytes, rowsAt + <usize>i * rowBytes, dim)
  }
}

/** Copies row i over row `slots[i]` of the `targetCount` rows at `targetAt`: the last of equal slots stays. */
export function setRows(slotsAt: usize, count: i32, rowsAt: usize, targetAt: usize, targetCount: i32, dim: i32): void {
  const rowBytes = <usize>dim << 2
  for (let i = 0; i < count; i++) {
    const slot = load<i32>(slotsAt + (<usize>i << 2))
    if (<u32>slot < <u32>targetCount) copyRow(targetAt + <usize>slot * rowBytes, rowsAt + <usize>i * rowBytes, dim)
  }
}
