/** Arenas for tests of optimizer steps: one for the kernels, and a copy for their references. */

import { instantiateApplyKernels, type StepKernels } from '../../src/kernels/apply.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'
import { makeReferenceSteps } from '../../src/kernels/reference/optimizer.ts'

/** The kernels over an arena, and their references over its copy. */
export interface ApplyArenas {
  kernels: StepKernels
  reference: StepKernels
  numbers: Float32Array
  /**
   * Fills the arena with finite numbers that `seed` determines: of every magnitude, or within -4..4 if
   * `isPlain`.
   */
  fill(seed: number, isPlain: boolean): void
  /** Makes the reference's arena equal to the kernels'. */
  copy(): void
  /**
   * Describes the first difference of the arenas, or returns null. All NaN are equal, because processors
   * choose their bits.
   */
  difference(): string | null
}

const EXPONENT = 0x7f80_0000
const QUIET_NAN = 0x7fc0_0000

export const makeApplyArenas = (arenaBytes: number): ApplyArenas => {
  const memory = createArenaMemory(arenaBytes)
  const buffers = { kernels: memory.buffer, reference: new SharedArrayBuffer(memory.buffer.byteLength) }
  const words = { kernels: new Int32Array(buffers.kernels), reference: new Int32Array(buffers.reference) }
  const bytes = { kernels: new Uint8Array(buffers.kernels), reference: new Uint8Array(buffers.reference) }
  const numbers = new Float32Array(buffers.kernels)
  const unifyNaN = (bits: Int32Array): void => {
    for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7fff_ffff) > EXPONENT) bits[i] = QUIET_NAN
  }
  return {
    kernels: instantiateApplyKernels(memory),
    reference: makeReferenceSteps(buffers.reference),
    numbers,
    fill(seed, isPlain) {
      let state = seed | 1
      for (let i = 0; i < numbers.length; i++) {
        state ^= state << 13
        state ^= state >>> 17
        state ^= state << 5
        if (isPlain) numbers[i] = state / 2 ** 29
        else words.kernels[i] = (state & EXPONENT) === EXPONENT ? state ^ 0x4000_0000 : state
      }
    },
    copy: () => words.reference.set(words.kernels),
    difference() {
      if (Buffer.compare(bytes.kernels, bytes.reference) === 0) return null
      unifyNaN(words.kernels)
      unifyNaN(words.reference)
      const at = words.kernels.findIndex((word, i) => word !== words.reference[i])
      return at < 0
        ? null
        : `number ${at}: kernel ${numbers[at]}, reference ${new Float32Array(buffers.reference)[at]}`
    },
  }
}
