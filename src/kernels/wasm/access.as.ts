/**
 * Accesses to the table memory, by 64-bit address, and to the update source. access.wat defines the
 * functions; after the build no call is left. The arena is AssemblyScript's own memory, accessed by plain
 * load and store.
 */

@external('env', 'table.load8')
export declare function tableLoad8(at: u64): u32
@external('env', 'table.load16')
export declare function tableLoad16(at: u64): u32
@external('env', 'table.load32')
export declare function tableLoad32(at: u64): u32
@external('env', 'table.load64')
export declare function tableLoad64(at: u64): u64
@external('env', 'table.load128')
export declare function tableLoad128(at: u64): v128

/**
 * These functions load from 16, 32 or 48 bytes after the address: an offset in the instruction is free, an
 * addition before it is not.
 */
@external('env', 'table.load128.16')
export declare function tableLoad128At16(at: u64): v128
@external('env', 'table.load128.32')
export declare function tableLoad128At32(at: u64): v128
@external('env', 'table.load128.48')
export declare function tableLoad128At48(at: u64): v128

/** The update source is a 32-bit memory that is only read. Addresses are multiples of 4. */
@external('env', 'updateSource.load32')
export declare function updateSourceLoad32(at: usize): u32
@external('env', 'updateSource.load128')
export declare function updateSourceLoad128(at: usize): v128
@external('env', 'updateSource.load128.16')
export declare function updateSourceLoad128At16(at: usize): v128
@external('env', 'updateSource.load128.32')
export declare function updateSourceLoad128At32(at: usize): v128
@external('env', 'updateSource.load128.48')
export declare function updateSourceLoad128At48(at: usize): v128

@external('env', 'table.store8')
export declare function tableStore8(at: u64, value: u32): void
@external('env', 'table.store16')
export declare function tableStore16(at: u64, value: u32): void
@external('env', 'table.store32')
export declare function tableStore32(at: u64, value: u32): void
@external('env', 'table.store64')
export declare function tableStore64(at: u64, value: u64): void
@external('env', 'table.store128')
export declare function tableStore128(at: u64, value: v128): void
@external('env', 'table.store128.16')
export declare function tableStore128At16(at: u64, value: v128): void
@external('env', 'table.store128.32')
export declare function tableStore128At32(at: u64, value: v128): void
@external('env', 'table.store128.48')
export declare function tableStore128At48(at: u64, value: v128): void

@external('env', 'table.atomicLoad')
export declare function tableAtomicLoad(at: u64): u32

/**
 * Orders all memory accesses before it with those after it, on every processor. (The fence that
 * AssemblyScript emits is rejected by its own validator.)
 */
@external('env', 'table.fence')
export declare function fence(): void

/** Returns the address of row `local` of the segment. */
@inline
export function rowAddress(local: i32, rowBytes: i32): u64 {
  return <u64>ROWS_AT + <u64>(<u32>local) * <u64>(<u32>rowBytes)
}

/** Returns the address of the stripe word that guards row `local`. */
@inline
export function stripeAddress(local: i32): u64 {
  return <u64>(STRIPES_AT + ((local & (STRIPE_COUNT - 1)) << 2))
}
