/** Formats quantities and columns for people. */
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Formats bytes in powers of 1000: `1.5 GB`. */
export const formatBytes = (bytes: number): string => {
  let value = bytes
  let unit = 0
  // A value that would print as 1000 is 1 of the next unit.
  while (unit < UNITS.length - 1 && value >= 999.5) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** Formats milliseconds: `0.4 s`, `48 s`, `3 min 20 s`, `2 h 5 min`. */
export const formatDuration = (ms: number): string => {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Formats a rate per second: `310 MB/s`. */
export const formatRate = (bytes: number, ms: number): string =>
  `${formatBytes(ms > 0 ? (bytes * 1000) / ms : 0)}/s`

/**
 * Formats `rows` as lines with aligned columns. The columns numbered in `rightAligned` are aligned on the
 * right.
 */
export const alignColumns = (
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const printCell = (text: string, column: number): string =>
    rightAligned.includes(column) ? text.padStart(widths[column]) : text.padEnd(widths[column])
  return rows.map((row) => `${row.map(printCell).join('  ').trimEnd()}\n`).join('')
}

/** Breaks a text into lines of at most `length` characters, between words. */
export const wrapText = (text: string, length: number): string[] => {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > length) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}
