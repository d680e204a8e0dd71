/**
 * How one setting is written and read: sizes and durations with their units, the command-line option that
 * stands for an environment variable, and the words that describe the values it may have.
 */

/** The schema of a setting, as far as reading and describing it goes. */
export interface SettingSchema {
  type?: string
  enum?: readonly string[]
  default?: string | number
  minimum?: number
  maximum?: number
  description?: string
}

const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  // These are the units of Kubernetes.
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
}

const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  min: 60e3,
  m: 60e3,
  h: 3600e3,
  d: 24 * 3600e3,
}

const isSize = (name: string): boolean => name.endsWith('_BYTES')
const isDuration = (name: string): boolean => name.endsWith('_MS')

/** Whether a setting may be a share of the memory. */
export const takesShare = (name: string): boolean => /_MEMORY_\w*BYTES$/.test(name)

/** Returns the option that stands for an environment variable: `--http-threads` for GATHERD_HTTP_THREADS. */
export const optionOf = (name: string): string =>
  `--${name
    .replace(/^GATHERD_/, '')
    .toLowerCase()
    .replaceAll('_', '-')}`

/**
 * Turns a size (`4GB`) or a duration (`5s`) into a decimal number of bytes or milliseconds, by the unit at
 * the end of the setting's name. `75%` is that share of `memoryBytes`. A text that is neither is returned as
 * it is, for the schema to refuse.
 */
export const readQuantity = (name: string, text: string, memoryBytes = 0): string => {
  if (!isSize(name) && !isDuration(name)) return text
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?([a-z%]+)$/i.exec(text.trim()) ?? []
  if (digits === undefined || unit === undefined) return text
  const scale = scaleOf(name, unit.toLowerCase(), Number(digits), memoryBytes)
  return scale === undefined ? text : String(Math.floor(Number(digits) * scale))
}

const scaleOf = (name: string, unit: string, count: number, memoryBytes: number): number | undefined => {
  if (unit === '%') return memoryBytes > 0 && takesShare(name) && count <= 100 ? memoryBytes / 100 : undefined
  const units = isSize(name) ? SIZES : DURATIONS
  return Object.hasOwn(units, unit) ? units[unit] : undefined
}

/** Prints bytes or milliseconds with the largest unit that leaves no fraction: `64MiB`, `15min`. */
export const printQuantity = (name: string, count: number): string => {
  const units = isSize(name)
    ? (['TiB', 'GiB', 'MiB', 'KiB'] as const)
    : isDuration(name)
      ? (['h', 'min', 's', 'ms'] as const)
      : []
  for (const unit of units) {
    const scale = (isSize(name) ? SIZES : DURATIONS)[unit.toLowerCase()]
    if (count >= scale && count % scale === 0) return `${count / scale}${unit}`
  }
  return String(count)
}

/** Describes the values that a setting may have: `a whole number from 0 to 65535`. */
export const describeValues = (name: string, schema: SettingSchema): string => {
  const { type, enum: words, minimum = 0, maximum } = schema
  if (words !== undefined) return `one of ${words.join(', ')}`
  if (type === 'string') return 'text of one letter or more'
  const upTo = maximum === undefined ? ' on' : ` to ${printQuantity(name, maximum)}`
  const range = `from ${printQuantity(name, minimum)}${upTo}`
  if (isDuration(name)) return `a duration ${range}, such as 500ms or 5s`
  if (!isSize(name)) return `a whole number ${range}`
  return `a size ${range}, such as 512MiB or 4GB${takesShare(name) ? ', or a share of memory, such as 75%' : ''}`
}

/** Returns the placeholder for the value of a setting in a help text. */
export const placeholderOf = (name: string, { enum: words, type }: SettingSchema): string => {
  if (words !== undefined) return 'WORD'
  if (isSize(name)) return 'SIZE'
  if (isDuration(name)) return 'TIME'
  return type === 'string' ? (name.split('_').at(-1) ?? '') : 'N'
}
