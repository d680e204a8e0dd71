/** The receiver of a part of a body. */
import type { ByteRange } from '../formats/shape.ts'

/**
 * Receives the bytes `begin`..`end` of a body, in order and in pieces of any length. It is closed at the end,
 * whether or not the range was complete.
 */
export interface Sink extends ByteRange {
  /**
   * Must be called before each `write` of `byteCount` bytes. If it returns a promise, the caller must await
   * it.
   */
  prepare(byteCount: number): Promise<void> | null
  write(bytes: Uint8Array): void
  close(): void
  /** Refuses NON_FINITE for the first number that is not finite. */
  checkFinite(): void | Promise<void>
}
