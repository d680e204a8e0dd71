/** Finds the word that was probably meant by a misspelt one. */

/** Returns how many letters have to be inserted, deleted, replaced or swapped to get from a to b. */
const distanceOf = (a: string, b: string): number => {
  const rows = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : i)),
  )
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1)
    }
  }
  return rows[a.length][b.length]
}

/** Words beyond this length are not compared, because the work grows with the product of the lengths. */
const WORD_LENGTH_MAX = 64

/** A word of this length is also taken for the beginning of a longer one. */
const BEGINNING_LENGTH_MIN = 4

/**
 * Returns the nearest of the `known` words, else one that begins with `word`, or undefined when more than a
 * third of `word`, and more than two letters, would have to change.
 */
export const findNearestWord = (word: string, known: readonly string[]): string | undefined => {
  if (word.length > WORD_LENGTH_MAX) return undefined
  const ranked = known
    .map((other) => ({ other, distance: distanceOf(word.toLowerCase(), other.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const [nearest] = ranked
  if (nearest !== undefined && nearest.distance <= Math.max(2, word.length / 3)) return nearest.other
  if (word.length < BEGINNING_LENGTH_MIN) return undefined
  return known.find((other) => other.startsWith(word))
}

/** Returns `; did you mean WORD?`, or nothing when no known word is near. */
export const suggestWord = (word: string, known: readonly string[]): string => {
  const nearest = findNearestWord(word, known)
  return nearest === undefined ? '' : `; did you mean ${nearest}?`
}
