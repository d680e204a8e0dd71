/**
 * Converts word vectors to npy: the text of GloVe (`word 0.1 0.2`), and the text and binary forms of
 * word2vec, which begin with a line `rows dim`; fastText's .vec is that text. Row i is the i-th word of the
 * file.
 */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { LIMITS } from '../../core/limits.ts'
import { writeNpyHeader } from '../../formats/npy.ts'
import { UsageError } from '../errors.ts'

/** The form of a file of word vectors. */
export interface VectorsForm {
  kind: 'text' | 'binary'
  /** The rows that the first line announces; null in a file of GloVe, which has no such line. */
  rows: number | null
  dim: number
  /** The length of that line. */
  headerBytes: number
}

const HEADER = /^(\d{1,10}) (\d{1,6}) ?\r?\n/
const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/
/** A line has a word and at most `dimMax` numbers of a few digits. */
const LINE_BYTES_MAX = 4 * 1024 * 1024

const splitLine = (line: string): string[] => line.trimEnd().split(/[ \t]+/)

/** Recognises word vectors by the beginning of a file; undefined for anything else. */
export const recogniseVectors = (head: Buffer): VectorsForm | undefined => {
  const text = head.toString('latin1')
  const header = HEADER.exec(text)
  if (header !== null) {
    const [rows, dim] = [Number(header[1]), Number(header[2])]
    if (rows < 1 || dim < 1 || dim > LIMITS.dimMax) return undefined
    const headerBytes = header[0].length
    const fields = splitLine(text.slice(headerBytes).split('\n', 1)[0])
    const isText = fields.length > 1 && fields.slice(1, dim + 1).every((field) => NUMBER.test(field))
    return { kind: isText ? 'text' : 'binary', rows, dim, headerBytes }
  }
  const lines = text.split('\n').slice(0, -1).map(splitLine)
  const [first] = lines
  // A table of numbers alone has no words, and is not read as if its first column were one.
  if (lines.every(([word]) => NUMBER.test(word))) return undefined
  if (first.length < 3 || !first.slice(1).every((field) => NUMBER.test(field))) return undefined
  return { kind: 'text', rows: null, dim: first.length - 1, headerBytes: 0 }
}

/**
 * Converts the file at `path` to an npy file of float32 at `target`, and writes the words, one a line, to
 * `wordsPath` if there is one. Throws UsageError, with the line or the word, for a file that is damaged.
 */
export const convertVectors = async (
  path: string,
  form: VectorsForm,
  target: string,
  wordsPath: string | undefined,
): Promise<void> => {
  const file = await open(target, 'wx')
  const words = wordsPath === undefined ? null : await open(wordsPath, 'w')
  try {
    const rows = form.kind === 'text' ? readTextRows(path, form) : readBinaryRows(path, form)
    const headerBytes = writeNpyHeader('float32', [0, form.dim]).length
    let rowCount = 0
    await file.write(new Uint8Array(headerBytes))
    for await (const batch of rows) {
      rowCount += batch.words.length
      await writeAll(file, batch.bytes)
      if (words !== null)
        await writeAll(words, Buffer.from(batch.words.map((word) => `${word}\n`).join(''), 'latin1'))
    }
    if (form.rows !== null && form.rows !== rowCount)
      throw new UsageError(`${path} announces ${form.rows} rows and has ${rowCount}`)
    const header = writeNpyHeader('float32', [rowCount, form.dim])
    await file.write(header, 0, header.length, 0)
  } finally {
    await file.close()
    await words?.close()
  }
}

const writeAll = async (file: FileHandle, bytes: Uint8Array): Promise<void> => {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten
}

interface Batch {
  /** Bytes as latin1, since words need not be UTF-8: they are written as they were read. */
  words: string[]
  bytes: Uint8Array
}

/** Yields the lines of a file in batches, each byte as one character. */
async function* readLines(path: string, from: number): AsyncGenerator<string[]> {
  let rest = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { start: from }) as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([rest, chunk])
    const end = bytes.lastIndexOf(0x0a) + 1
    rest = bytes.subarray(end)
    if (rest.length > LINE_BYTES_MAX) throw new UsageError(`${path} has a line above ${LINE_BYTES_MAX} bytes`)
    if (end > 0) yield bytes.toString('latin1', 0, end - 1).split('\n')
  }
  if (rest.length > 0) yield [rest.toString('latin1')]
}

async function* readTextRows(path: string, { dim, headerBytes }: VectorsForm): AsyncGenerator<Batch> {
  let lineNumber = headerBytes === 0 ? 0 : 1
  for await (const lines of readLines(path, headerBytes)) {
    const words: string[] = []
    const values = new Float32Array(lines.length * dim)
    for (const line of lines) {
      lineNumber += 1
      const fields = splitLine(line)
      if (fields.length === 1 && fields[0] === '') continue
      // A word may contain spaces, so the numbers are counted from the end.
      const numbersAt = fields.length - dim
      if (numbersAt < 0) throw wrongLine(path, lineNumber, dim)
      for (let k = 0; k < dim; k++) {
        const field = fields[numbersAt + k]
        if (!NUMBER.test(field)) throw wrongLine(path, lineNumber, dim)
        values[words.length * dim + k] = Number(field)
      }
      words.push(fields.slice(0, numbersAt).join(' '))
    }
    yield { words, bytes: new Uint8Array(values.buffer, 0, words.length * dim * 4) }
  }
}

const wrongLine = (path: string, line: number, dim: number): UsageError =>
  new UsageError(`line ${line} of ${path} does not end with ${dim} numbers, as the first one does`)

/** Each row of the binary form is its word, a space, `dim` float32, and in some writers a line feed. */
async function* readBinaryRows(path: string, form: VectorsForm): AsyncGenerator<Batch> {
  const { dim, headerBytes, rows } = form
  const rowBytes = dim * 4
  let rest = Buffer.alloc(0)
  let count = 0
  for await (const chunk of createReadStream(path, {
    start: headerBytes,
    highWaterMark: 1024 * 1024,
  }) as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([rest, chunk])
    const words: string[] = []
    const parts: Buffer[] = []
    let at = 0
    while (count < (rows ?? Infinity)) {
      const wordAt = bytes[at] === 0x0a ? at + 1 : at
      const space = bytes.indexOf(0x20, wordAt)
      if (space < 0 || space + 1 + rowBytes > bytes.length) break
      words.push(bytes.toString('latin1', wordAt, space))
      parts.push(bytes.subarray(space + 1, space + 1 + rowBytes))
      at = space + 1 + rowBytes
      count += 1
    }
    rest = bytes.subarray(at)
    if (rest.length > LINE_BYTES_MAX)
      throw new UsageError(`${path} is no word2vec file: word ${count} has no end`)
    yield { words, bytes: Buffer.concat(parts) }
  }
  if (rest.length > 1) throw new UsageError(`${path} ends inside row ${count}, or has more rows than ${rows}`)
}
