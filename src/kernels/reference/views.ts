/** The two memories as the references see them. */
export interface Views {
  readonly table: DataView
  readonly arena: DataView
  readonly tableBytes: Uint8Array
  readonly arenaBytes: Uint8Array
}

/** Views of a table's and an arena's bytes. */
export const makeViews = (table: ArrayBufferLike, arena: ArrayBufferLike): Views => ({
  table: new DataView(table),
  arena: new DataView(arena),
  tableBytes: new Uint8Array(table),
  arenaBytes: new Uint8Array(arena),
})
