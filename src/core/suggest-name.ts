/** Suggests the known name that a client probably meant. */

/** Names from other libraries and frequent slips, which are not close in spelling. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  indices: ['id', 'ids', 'idx', 'index', 'indexes', 'input', 'inputs', 'input_ids', 'keys', 'rows'],
  pooling: ['pool', 'combiner', 'reduce', 'reduction', 'aggregation', 'agg'],
  metric: ['score', 'distance', 'similarity', 'measure'],
  queries: ['query', 'vector', 'vectors', 'q'],
  top_k: ['k', 'topk', 'limit', 'n'],
  gradients: ['grad', 'grads', 'values'],
  values: ['data', 'rows', 'gradients', 'embeddings', 'weights', 'matrix'],
  learning_rate: ['lr', 'eta', 'step_size'],
  fill_value: ['fill', 'default', 'default_value'],
  padding_index: ['padding_idx', 'pad', 'pad_id', 'pad_token_id'],
  mode: ['out_of_range', 'oob'],
  out_of_range: ['mode', 'oob'],
  index_dtype: ['dtype', 'ids_dtype', 'input_dtype'],
  input_dtype: ['source_dtype', 'data_dtype'],
  dim: ['dims', 'dimension', 'embedding_dim', 'features', 'columns', 'width'],
  rows: ['num_embeddings', 'vocab_size', 'input_dim', 'count', 'n'],
  lookups: ['requests', 'queries', 'batch', 'tables'],
  op: ['operation', 'mode', 'action'],
}

/** Longer names are not compared, because the comparison costs the product of both lengths. */
const LENGTH_MAX = 64

/** Counts the letters to insert, remove, replace or swap with the next one, to make `b` of `a`. */
const countEdits = (a: string, b: string): number => {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      let edits = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (isSame ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, before[j - 2] + 1)
      next.push(edits)
    }
    before = row
    row = next
  }
  return row[b.length]
}

/** Spells a name as names are here: `topK` and `top-k` become `top_k`. */
const toSnakeCase = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[-. ]/g, '_')
    .toLowerCase()

const isPart = (part: string, name: string): boolean => name.startsWith(part) || name.endsWith(part)

/** Finds the one of `known` that was probably meant by `name`; undefined when none is near. */
export const findNearName = (name: string, known: readonly string[]): string | undefined => {
  if (name.length > LENGTH_MAX) return undefined
  const spelled = toSnakeCase(name)
  const ranked = known
    .filter((other) => other.length <= LENGTH_MAX)
    .map((other) => ({ other, edits: countEdits(spelled, toSnakeCase(other)) }))
    .sort((a, b) => a.edits - b.edits)
  const [nearest] = ranked
  if (nearest !== undefined && nearest.edits <= Math.floor(nearest.other.length / 3)) return nearest.other
  return (
    known.find((other) => Object.hasOwn(SYNONYMS, other) && SYNONYMS[other].includes(spelled)) ??
    known.find((other) => spelled.length >= 4 && isPart(spelled, toSnakeCase(other)))
  )
}

/** Continues a message about an unknown name: `; did you mean indices?`, or nothing. */
export const suggestName = (name: string, known: readonly string[]): string => {
  const near = findNearName(name, known)
  if (near === undefined) return ''
  return `; did you mean ${/^[\w./-]+$/.test(near) ? near : JSON.stringify(near)}?`
}

/** The same for names that all begin with `prefix`, which is no part of what is compared. */
export const suggestPrefixed = (prefix: string, name: string, known: readonly string[]): string => {
  if (!name.startsWith(prefix)) return ''
  const cut = (whole: string): string => whole.slice(prefix.length)
  const near = findNearName(cut(name), known.map(cut))
  return near === undefined ? '' : `; did you mean ${prefix}${near}?`
}
