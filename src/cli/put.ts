/**
 * `gatherd put` uploads a file as a table. A large file goes in parts, and an interrupted upload can be
 * resumed.
 */
import { LIMITS } from '../core/limits.ts'
import type { TableInfo } from '../core/types.ts'
import { joinWords, listNamedArrays, RAW, tableFormatNames } from '../formats/format.ts'
import { EXAMPLE_OPTIMIZER } from '../optimizers/complete.ts'
import { callForJson } from './client.ts'
import {
  type Command,
  type CommandInput,
  DONE,
  JSON_OPTION,
  type OptionValues,
  readBytes,
  readCount,
  readText,
  type Terminal,
  URL_OPTION,
} from './command.ts'
import { UsageError } from './errors.ts'
import { type Progress, showProgress } from './progress.ts'
import { formatBytes, formatDuration, formatRate } from './formatting.ts'
import { findMissingParts, findUpload, sendParts, type UploadParameters } from './resumable.ts'
import { callRepeatedly } from './retry.ts'
import { digestFile, inspectFile, type Part, readPiece, type SourceFile } from './source-file.ts'

const PART_BYTES = 16 * 1024 * 1024
const PARALLEL_COUNT = 4
const PARALLEL_COUNT_MAX = 64

/** The command `gatherd put`. */
export const putCommand: Command = {
  usage: 'TABLE FILE',
  arguments: [2, 2],
  summary: `Creates or replaces a table from an ${joinWords(tableFormatNames(), 'or')} file`,
  description:
    'The first bytes of a file say what it is. npz, GloVe and word2vec vectors and gzip of all these are\n' +
    'converted to a temporary npy file; --tensor chooses an array of model.safetensors.index.json too.\n' +
    'A large file is sent in parts. After an interruption, the same command sends the missing parts only.\n' +
    'The table does not change before all of it has arrived.',
  options: {
    rows: { value: 'N', help: 'the number of rows of a raw file (.bin, .raw)' },
    dim: { value: 'N', help: 'the numbers in a row of a raw file' },
    'input-dtype': { value: 'TYPE', help: 'the type of the numbers of a raw file; default float32' },
    dtype: { value: 'TYPE', help: 'the type that the table stores: float32, float16, bfloat16, int8' },
    tensor: { value: 'NAME', help: `the array of a ${listNamedArrays()} or npz file that is the table` },
    words: { value: 'FILE', help: 'writes the words of GloVe or word2vec vectors to FILE, one a line' },
    'allow-non-finite': { help: 'stores NaN and infinity instead of refusing them' },
    set: {
      value: 'NAME=VALUE',
      many: true,
      help: `a setting: optimizer=${EXAMPLE_OPTIMIZER.kind}, out_of_range=fill, durability=os`,
    },
    'part-bytes': { value: 'SIZE', help: 'the size of a part; default 16MiB' },
    parallel: { value: 'N', help: `the number of parts sent at a time; default ${PARALLEL_COUNT}` },
    url: URL_OPTION,
    json: JSON_OPTION,
  },
  run: async (input) => {
    const [table, path] = input.positionals
    const parallelCount = readCount(input.values, 'parallel', 1) ?? PARALLEL_COUNT
    if (parallelCount > PARALLEL_COUNT_MAX)
      throw new UsageError(`--parallel is at most ${PARALLEL_COUNT_MAX}`)
    const parameters = readParameters(input.values)
    const file = await inspectFile(path, {
      hasShape: parameters.rows !== undefined && parameters.dim !== undefined,
      tensor: readText(input.values, 'tensor'),
      wordsPath: readText(input.values, 'words'),
    })
    if (file.note !== undefined) input.terminal.report(`${file.note}\n`)
    try {
      return await putFile(input, table, file, parameters, parallelCount)
    } finally {
      await file.remove()
    }
  },
}

const putFile = async (
  input: CommandInput,
  table: string,
  file: SourceFile,
  given: UploadParameters,
  parallelCount: number,
): Promise<number> => {
  const parameters: UploadParameters = file.usesTensor
    ? Object.fromEntries(Object.entries(given).filter(([name]) => name !== 'tensor'))
    : given
  const partBytes = choosePartBytes(file.bytes, readBytes(input.values, 'part-bytes'))
  if (file.contentType === RAW.mediaType && (parameters.rows === undefined || parameters.dim === undefined)) {
    throw new UsageError('a raw file needs --rows and --dim')
  }
  const startedAt = performance.now()
  const { digest, parts } = await readDigests(file, partBytes, input.terminal)
  const upload = { table, file, digest, parts, parameters, parallelCount }
  const { info, sentBytes } = parts.length > 1 ? await putParts(input, upload) : await putWhole(input, upload)
  report(input, info, sentBytes, performance.now() - startedAt)
  return DONE
}

interface Put {
  table: string
  file: SourceFile
  digest: string
  parts: readonly Part[]
  parameters: UploadParameters
  parallelCount: number
}

interface PutResult {
  info: TableInfo
  sentBytes: number
}

/**
 * Returns the part size asked for, or else one that gives no more parts than a service accepts. Throws
 * UsageError.
 */
export const choosePartBytes = (fileBytes: number, asked: number | undefined): number => {
  const least = Math.ceil(fileBytes / LIMITS.uploadPartCountMax)
  if (asked === undefined) return Math.max(PART_BYTES, least)
  if (asked < least)
    throw new UsageError(
      `--part-bytes is at least ${least} for this file, because an upload has at most ` +
        `${LIMITS.uploadPartCountMax} parts`,
    )
  if (asked > LIMITS.uploadPartBytesMax)
    throw new UsageError(`--part-bytes is at most ${LIMITS.uploadPartBytesMax}`)
  return asked
}

/** Reads the parameters of the upload, by their names in the API. */
const readParameters = (values: OptionValues): UploadParameters => {
  const named = {
    rows: readCount(values, 'rows', 0),
    dim: readCount(values, 'dim', 1),
    input_dtype: readText(values, 'input-dtype'),
    dtype: readText(values, 'dtype'),
    tensor: readText(values, 'tensor'),
    allow_non_finite: values['allow-non-finite'] === true ? true : undefined,
  }
  const settings = ((values.set ?? []) as string[]).map((text): [string, string | number | boolean] => {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`--set is NAME=VALUE, not ${JSON.stringify(text)}`)
    return [text.slice(0, at), readSetting(text.slice(at + 1))]
  })
  return Object.fromEntries(
    [...Object.entries(named), ...settings].filter(([, value]) => value !== undefined),
  ) as UploadParameters
}

/**
 * Numbers and booleans become such in JSON. Any other value is sent as text, for instance an optimizer in
 * JSON.
 */
const readSetting = (text: string): string | number | boolean => {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(text) ? Number(text) : text
}

const readDigests = async (file: SourceFile, partBytes: number, terminal: Terminal) => {
  const reading = showProgress(terminal, 'reading', file.bytes)
  try {
    return await digestFile(file, partBytes, reading.add)
  } finally {
    reading.end()
  }
}

const putWhole = (input: CommandInput, { table, file, digest, parameters }: Put): Promise<PutResult> => {
  const { service, terminal } = input
  return withProgress(showProgress(terminal, table, file.bytes), async (progress) => {
    const headers = { 'content-type': file.contentType, 'content-digest': digest }
    const attempt = async () => {
      let sentBytes = 0
      const onSent = (bytes: number): void => {
        sentBytes += bytes
        progress.add(bytes)
        if (sentBytes === file.bytes) progress.wait('all sent; the table is being made')
      }
      const body = { chunks: file.bytes === 0 ? [] : readPiece(file.path, 0, file.bytes), bytes: file.bytes }
      try {
        const path = `v1/tables/${encodeURIComponent(table)}`
        return await callForJson<TableInfo>(service, {
          method: 'PUT',
          path,
          query: parameters,
          headers,
          body,
          onSent,
        })
      } catch (error) {
        progress.add(-sentBytes)
        throw error
      }
    }
    // A PUT whose outcome is unknown is not repeated, because that could undo what others have written in
    // between.
    const info = await callRepeatedly(attempt, { tell: progress.tell, isRepeatable: false })
    return { info, sentBytes: file.bytes }
  })
}

const putParts = async (input: CommandInput, upload: Put): Promise<PutResult> => {
  const { service, terminal } = input
  const { upload: id, ...known } = await findUpload(service, upload)
  const missing = findMissingParts({ upload: id, ...known }, upload.parts)
  const sentBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0)
  const hadBytes = upload.file.bytes - sentBytes
  return withProgress(showProgress(terminal, upload.table, upload.file.bytes, hadBytes), async (progress) => {
    if (hadBytes > 0) progress.tell(`resuming upload ${id}: ${formatBytes(hadBytes)} have arrived already`)
    return { info: await sendParts(service, upload, id, missing, progress), sentBytes }
  })
}

const withProgress = async <Result>(
  progress: Progress,
  action: (progress: Progress) => Promise<Result>,
): Promise<Result> => {
  try {
    return await action(progress)
  } finally {
    progress.end()
  }
}

const report = ({ values, terminal }: CommandInput, info: TableInfo, sentBytes: number, ms: number): void => {
  const { name, version, rows, dim, dtype } = info
  const line =
    `${name}: version ${version}, ${rows} x ${dim} ${dtype}, ${formatDuration(ms)}, ` +
    `${formatRate(sentBytes, ms)}`
  terminal.print(values.json === true ? `${JSON.stringify(info)}\n` : `${line}\n`)
}
