/** The path of a file that a real writer has made. */
import { fileURLToPath } from 'node:url'

export const writers = (name: string): string =>
  fileURLToPath(new URL(`../../formats/fixtures/writers/${name}`, import.meta.url))
