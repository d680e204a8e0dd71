/**
 * Keeps the best scores of each query in a heap of 64-bit keys with the worst key at the root. The upper half
 * of a key encodes the score, the lower half the index, both such that a greater key is a better result. So
 * ties go to the lower index, NaN comes last, and the result does not depend on how a scan was split.
 *
 *     0   int32 count of keys, 4 spare bytes
 *     8   int64 keys, space for `capacity`
 */

@inline
function heapBytes(capacity: i32): usize {
  return 8 + (<usize>capacity << 3)
}

/**
 * Returns the key of a score and an index. The score becomes an integer that sorts like it, the smallest for
 * NaN.
 */
@inline
function keyOf(score: f32, index: i32, smallestFirst: bool): i64 {
  const bits = reinterpret<i32>(score)
  const ascending = bits ^ ((bits >> 31) & 0x7fffffff)
  const order = score != score ? i32.MIN_VALUE : smallestFirst ? ~ascending : ascending
  return (<i64>order << 32) | <i64>(<u32>~index)
}

@inline
function scoreOf(key: i64, smallestFirst: bool): f32 {
  const order = <i32>(key >> 32)
  if (order == i32.MIN_VALUE) return reinterpret<f32>(0x7fc00000)
  const ascending = smallestFirst ? ~order : order
  return reinterpret<f32>(ascending ^ ((ascending >> 31) & 0x7fffffff))
}

@inline
function indexOf(key: i64): i32 {
  return ~(<i32>key)
}

/** Sifts `key` down from the root, whose slot is free. */
function siftDown(keys: usize, count: i32, key: i64): void {
  let place = 0
  for (;;) {
    let child = 2 * place + 1
    if (child >= count) break
    let least = load<i64>(keys + (<usize>child << 3))
    if (child + 1 < count) {
      const other = load<i64>(keys + (<usize>child << 3), 8)
      if (other < least) {
        least = other
        child++
      }
    }
    if (key <= least) break
    store<i64>(keys + (<usize>place << 3), least)
    place = child
  }
  store<i64>(keys + (<usize>place << 3), key)
}

/** Sifts `key` up from the end of a heap that is not full. */
function siftUp(keys: usize, count: i32, key: i64): void {
  let place = count
  while (place > 0) {
    const parent = (place - 1) >> 1
    const above = load<i64>(keys + (<usize>parent << 3))
    if (above <= key) break
    store<i64>(keys + (<usize>place << 3), above)
    place = parent
  }
  store<i64>(keys + (<usize>place << 3), key)
}

@inline
function offer(heap: usize, capacity: i32, key: i64): void {
  const count = load<i32>(heap)
  if (count < capacity) {
    siftUp(heap + 8, count, key)
    store<i32>(heap, count + 1)
  } else if (key > load<i64>(heap, 8)) siftDown(heap + 8, capacity, key)
}

/**
 * Returns the position of the first four scores from `i` on of which at least one is better than `limit`.
 * Stops before the last rows if fewer than four are left.
 */
@inline
function skipWorse(scores: usize, i: i32, rowCount: i32, limit: v128, smallestFirst: bool): i32 {
  let place = i
  for (; place <= rowCount - 4; place += 4) {
    const four = v128.load(scores + (place << 2))
    if (v128.any_true(smallestFirst ? f32x4.lt(four, limit) : f32x4.gt(four, limit))) break
  }
  return place
}

function offerToHeap(scores: usize, rowCount: i32, firstIndex: i32, skippedIndex: i32, heap: usize,
  capacity: i32, smallestFirst: bool): void {
  let i = 0
  while (i < rowCount) {
    if (load<i32>(heap) == capacity) {
      const limit = scoreOf(load<i64>(heap, 8), smallestFirst)
      // Indices come in ascending order, so a score equal to the worst one in the heap loses to it.
      if (limit == limit) i = skipWorse(scores, i, rowCount, f32x4.splat(limit), smallestFirst)
    }
    const end = min(i + 4, rowCount)
    for (; i < end; i++) {
      const index = firstIndex + i
      if (index != skippedIndex) offer(heap, capacity,
        keyOf(load<f32>(scores + (i << 2)), index, smallestFirst))
    }
  }
}

/**
 * Offers scores[q * stride + i] to the heap of query q as row firstIndex + i. The calls must offer rows in
 * ascending order. Row `skippedIndex` is excluded.
 */
export function offerScores(
  scoresAt: usize, stride: i32, rowCount: i32, queryCount: i32, firstIndex: i32, skippedIndex: i32,
  heapsAt: usize, capacity: i32, smallestFirst: bool,
): void {
  for (let q = 0; q < queryCount; q++) {
    const scores = scoresAt + (<usize>q * stride << 2)
    offerToHeap(scores, rowCount, firstIndex, skippedIndex, heapsAt + <usize>q * heapBytes(capacity),
      capacity, smallestFirst)
  }
}

/**
 * Sorts keys best first: moves the worst from the root to the end of the remaining heap, until none is left.
 */
function sortKeys(keys: usize, count: i32): void {
  for (let last = count - 1; last > 0; last--) {
    const worst = load<i64>(keys)
    const moved = load<i64>(keys + (<usize>last << 3))
    siftDown(keys, last, moved)
    store<i64>(keys + (<usize>last << 3), worst)
  }
}

/**
 * Merges `setCount` sets of heaps, `setBytes` apart, into the first, and writes indices (int64) and scores of
 * each query, `capacity` apart, best first. Returns the smallest count of results of a query.
 */
export function settleTop(
  heapsAt: usize, setCount: i32, setBytes: i32, queryCount: i32, capacity: i32, indicesAt: usize,
  scoresAt: usize, smallestFirst: bool,
): i32 {
  let least = capacity
  for (let q = 0; q < queryCount; q++) {
    const heap = heapsAt + <usize>q * heapBytes(capacity)
    for (let set = 1; set < setCount; set++) {
      const other = heap + <usize>set * setBytes
      const count = load<i32>(other)
      for (let i = 0; i < count; i++) offer(heap, capacity, load<i64>(other + (<usize>i << 3), 8))
    }
    const count = load<i32>(heap)
    sortKeys(heap + 8, count)
    least = min(least, count)
    const first = <usize>q * capacity
    for (let i = 0; i < count; i++) {
      const key = load<i64>(heap + (<usize>i << 3), 8)
      store<i64>(indicesAt + ((first + i) << 3), <i64>indexOf(key))
      store<f32>(scoresAt + ((first + i) << 2), scoreOf(key, smallestFirst))
    }
  }
  return least
}
