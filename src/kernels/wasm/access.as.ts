// Accesses to the table memory, by 64-bit address, and to the update source. The functions are in access.wat;
// after the build no call is left. The arena is AssemblyScript's own memory: plain load and store.

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
 * The same, so many bytes further on: an offset in the instruction costs nothing, an addition before it does.
 */
@external('env', 'table.load128.16')
export declare function tableLoad128At16(at: u64): v128
@external('env', 'table.load128.32')
export declare function tableLoad128At32(at: u64): v128
@external('env', 'table.load128.48')
export declare function tableLoad128At48(at: u64): v128

/** The update source: a 32-bit memory that is only read. Addresses are multiples of 4. */
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

/** No access moves across it, on any processor. (AssemblyScript's own emits what its validator refuses.) */
@external('env', 'table.fence')
export declare function fence(): void

/** Address of row `local` of the segment. */
@inline
export function rowAddress(local: i32, rowBytes: i32): u64 {
  return <u64>ROWS_AT + <u64>(<u32>local) * <u64>(<u32>rowBytes)
}

/** Address of the word that guards row `local`. */
@inline
export function stripeAddress(local: i32): u64 {
  return <u64>(STRIPES_AT + ((local & (STRIPE_COUNT - 1)) << 2))
}
