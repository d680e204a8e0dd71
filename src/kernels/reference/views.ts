/** The views of a table memory and an arena through which the reference kernels access them. */
export interface Views {
  readonly table: DataView
  readonly arena: DataView
  readonly tableBytes: Uint8Array
  readonly arenaBytes: Uint8Array
}

/** Creates views of the bytes of a table and of an arena. */
export const makeViews = (table: ArrayBufferLike, arena: ArrayBufferLike): Views => ({
  table: new DataView(table),
  arena: new DataView(arena),
  tableBytes: new Uint8Array(table),
  arenaBytes: new Uint8Array(arena),
})
