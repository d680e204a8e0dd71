import { readdir } from 'node:fs/promises'
import { parsePartName, type PartFile } from './layout.ts'

/** Every file of a whole part in the directory of an upload, also those that a later one took the place of. */
export const listPartFiles = async (directory: string): Promise<PartFile[]> =>
  (await readdir(directory)).flatMap((name) => parsePartName(name) ?? [])

/** Of the files with one number the latest, in ascending order of numbers. */
export const currentParts = (files: readonly PartFile[]): PartFile[] => {
  const latest = new Map<number, PartFile>()
  for (const file of files) {
    const other = latest.get(file.part)
    if (other === undefined || isLater(file, other)) latest.set(file.part, file)
  }
  return [...latest.values()].sort((a, b) => a.part - b.part)
}

/** Two that ended at the same time have one stamp: then any order will do that is the same for everybody. */
const isLater = (a: PartFile, b: PartFile): boolean =>
  a.stamp > b.stamp || (a.stamp === b.stamp && a.name > b.name)

/** The bytes of parts together. */
export const countBytes = (parts: readonly { bytes: number }[]): number =>
  parts.reduce((sum, { bytes }) => sum + bytes, 0)
