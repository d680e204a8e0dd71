/** `rows` as lines with aligned columns; the columns numbered in `rightAligned` end at the same place. */
export const alignColumns = (
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const printCell = (text: string, column: number): string =>
    rightAligned.includes(column) ? text.padStart(widths[column]) : text.padEnd(widths[column])
  return rows.map((row) => `${row.map(printCell).join('  ').trimEnd()}\n`).join('')
}
