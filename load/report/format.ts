/** Formats numbers for people: three significant digits, commas between thousands, a unit that fits. */

const THIN_SPACE = '\u2009'

/** A count or ratio: `12,300`, `4.56`, `0.123`; a dash where there is none. */
export function formatCount(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100)
    return Math.round(value)
      .toString()
      .replace(/\B(?=(\d{3})+$)/g, ',')
  return value === 0 ? '0' : Number(value.toPrecision(3)).toString()
}

/** A large number short enough for a label: `1.23 M`, `45.6 k`. */
export function formatShort(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (value >= 999_500) return `${toDigits(value / 1e6)}${THIN_SPACE}M`
  if (value >= 9_995) return `${toDigits(value / 1e3)}${THIN_SPACE}k`
  return formatCount(value)
}

/** A time given in microseconds: `850 µs`, `1.23 ms`, `2.1 s`. */
export function formatUs(us: number | undefined): string {
  if (us === undefined || !Number.isFinite(us)) return '–'
  if (us >= 999_500) return `${toDigits(us / 1e6)}${THIN_SPACE}s`
  if (us >= 999.5) return `${toDigits(us / 1e3)}${THIN_SPACE}ms`
  return `${toDigits(us)}${THIN_SPACE}µs`
}

/** Bytes in powers of ten: `256 MB`. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined || !Number.isFinite(bytes)) return '–'
  if (bytes >= 1e9) return `${toDigits(bytes / 1e9)}${THIN_SPACE}GB`
  return `${toDigits(bytes / 1e6)}${THIN_SPACE}MB`
}

/** Text that is safe between tags and in attributes. */
export const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

const toDigits = (value: number): string =>
  value >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString()
