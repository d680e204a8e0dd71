/** `gatherd lookup` prints rows of a table. */
import { callForJson, jsonBody } from './client.ts'
import { type Command, DONE, JSON_OPTION, readChoice, URL_OPTION } from './command.ts'
import { UsageError } from './errors.ts'

const MODES = ['error', 'fill', 'clip', 'wrap', 'clamp'] as const
const POOLINGS = ['none', 'sum', 'mean', 'max', 'sqrtn'] as const
const DTYPES = ['float32', 'float16', 'bfloat16', 'native'] as const

interface LookupAnswer {
  embeddings: (number | null)[][]
}

/** The command `gatherd lookup`. */
export const lookupCommand: Command = {
  usage: 'TABLE ID...',
  arguments: [2, Infinity],
  summary: 'Prints rows, one a line: the id and its numbers',
  description: 'With --pooling, all ids are one bag, which gives one line. NaN and infinity print as null.',
  options: {
    mode: {
      value: 'MODE',
      help: `what an id outside the table gives: ${MODES.join(', ')}; default: the table's`,
    },
    pooling: { value: 'HOW', help: POOLINGS.join(', ') },
    dtype: { value: 'TYPE', help: `numbers of the answer: ${DTYPES.join(', ')}` },
    url: URL_OPTION,
    json: JSON_OPTION,
  },
  run: async ({ positionals: [table, ...ids], values, service, terminal }) => {
    const wrong = ids.find((id) => !/^-?\d+$/.test(id))
    if (wrong !== undefined)
      throw new UsageError(`${JSON.stringify(wrong)} is not an id; ids are whole numbers`)
    const mode = readChoice(values, 'mode', MODES)
    const pooling = readChoice(values, 'pooling', POOLINGS)
    const dtype = readChoice(values, 'dtype', DTYPES)
    const isBag = pooling !== undefined && pooling !== 'none'
    // The list is written by hand, because a JavaScript number cannot hold every 64-bit id.
    const list = `[${ids.map((id) => id.replace(/^(-?)0+(?=\d)/, '$1')).join(',')}]`
    const members = JSON.stringify({ mode, pooling, dtype }).slice(1)
    const answer = await callForJson<LookupAnswer>(service, {
      method: 'POST',
      path: `v1/tables/${encodeURIComponent(table)}/lookup`,
      ...jsonBody(`{"indices":${isBag ? `[${list}]` : list}${members === '}' ? '' : ','}${members}`),
    })
    const labels = isBag ? [pooling] : ids
    const lines = answer.embeddings.map((row, i) => `${labels[i]}\t${row.map(printNumber).join(' ')}\n`)
    terminal.print(values.json === true ? `${JSON.stringify(answer)}\n` : lines.join(''))
    return DONE
  },
}

const printNumber = (value: number | null): string => (Object.is(value, -0) ? '-0' : String(value))
