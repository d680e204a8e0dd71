/** Converts and checks numbers within the arena. */
import { Element } from './codes.as'
import { convertAny, firstNonFinite } from './elements.as'

/**
 * Converts `count` elements. Target and source do not overlap, unless they begin at the same address and the
 * elements of the target are not wider.
 */
export function convert(source: Element, target: Element, sourceAt: usize, count: i32, targetAt: usize): i32 {
  return convertAny(false, source, target, sourceAt, count, <u64>targetAt)
}

/** Returns the index of the first float32 that is infinite or NaN, or -1. */
export function finite(at: usize, count: i32): i32 {
  return firstNonFinite(at, count)
}
