/** `gatherd get` downloads a table to a file. */
import { createWriteStream } from 'node:fs'
import { realpath, rename, rm, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  findFormat,
  type FormatName,
  joinWords,
  namedArraysNames,
  tableFormatNames,
} from '../formats/format.ts'
import { callService } from './client.ts'
import { type Command, DONE, JSON_OPTION, readChoice, readCount, URL_OPTION } from './command.ts'
import { type Progress, showProgress } from './progress.ts'
import { formatBytes, formatDuration, formatRate } from './formatting.ts'

const FORMATS = tableFormatNames()
const ENDINGS = FORMATS.flatMap((name) => findFormat(name).fileEndings.map((ending) => `.${ending}`))
/** The format of optimizer state, which needs named arrays. */
const [STATE_FORMAT] = namedArraysNames()

/** The command `gatherd get`. */
export const getCommand: Command = {
  usage: 'TABLE FILE',
  arguments: [2, 2],
  summary: 'Writes a table, as stored, to a file',
  description:
    `All of it at one sequence. The format is that of the name (${ENDINGS.join(', ')}), ` +
    'else the one the service prefers.',
  options: {
    format: { value: 'FORMAT', help: joinWords(FORMATS, 'or') },
    include: { value: 'optimizer', help: `the state of the optimizer too, as ${STATE_FORMAT}` },
    version: { value: 'N', help: 'this version instead of the current one' },
    url: URL_OPTION,
    json: JSON_OPTION,
  },
  run: async ({ positionals: [table, path], values, service, terminal }) => {
    const include = readChoice(values, 'include', ['optimizer'])
    const format =
      readChoice(values, 'format', FORMATS) ?? (include === undefined ? findByEnding(path) : STATE_FORMAT)
    const version = readCount(values, 'version', 1)
    const target = await findTarget(path)
    const startedAt = performance.now()
    const interruption = new AbortController()
    const interrupt = () => interruption.abort()
    process.once('SIGINT', interrupt)
    try {
      const answer = await callService(service, {
        method: 'GET',
        path: `v1/tables/${encodeURIComponent(table)}/data`,
        query: { include, version },
        headers: { accept: format === undefined ? '*/*' : findFormat(format).mediaType },
        signal: interruption.signal,
      })
      const bytes = Number(answer.headers['content-length'])
      const progress = showProgress(terminal, table, bytes)
      try {
        await write(answer, target, progress, interruption.signal)
      } finally {
        progress.end()
      }
      const facts = describeAnswer(answer, bytes)
      const ms = performance.now() - startedAt
      const { version: number, sequence, shape, dtype } = facts
      const line =
        `${path}: version ${number} at sequence ${sequence}, ${shape.join(' x ')} ${dtype}, ` +
        `${formatBytes(bytes)}, ${formatDuration(ms)}, ${formatRate(bytes, ms)}`
      const tell = target.isFile ? terminal.print : terminal.report
      tell(values.json === true ? `${JSON.stringify({ table, file: path, ...facts })}\n` : `${line}\n`)
      return DONE
    } finally {
      process.removeListener('SIGINT', interrupt)
    }
  },
}

const findByEnding = (path: string): FormatName | undefined => {
  const name = path.toLowerCase()
  return FORMATS.find((format) =>
    findFormat(format).fileEndings.some((ending) => name.endsWith(`.${ending}`)),
  )
}

interface Target {
  path: string
  /** Whether it is, or will be, a regular file; /dev/stdout, a pipe or another device is none. */
  isFile: boolean
}

/** Finds what a path names: the file behind a link, and not the link. */
const findTarget = async (path: string): Promise<Target> => {
  try {
    const facts = await stat(path)
    if (facts.isFile()) return { path: await realpath(path), isFile: true }
    return { path, isFile: facts.isDirectory() }
  } catch {
    return { path, isFile: true }
  }
}

/**
 * Writes to a temporary file and renames it when it is whole. A failure leaves no file behind. A pipe or a
 * device is written to as it is, since a rename would put a file in its place.
 */
const write = async (
  answer: IncomingMessage,
  { path, isFile }: Target,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> => {
  const counter = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      progress.add(chunk.length)
      done(null, chunk)
    },
  })
  // Node reports a response that ends before its announced length as an error.
  if (!isFile) return pipeline(answer, counter, createWriteStream(path), { signal })
  const aside = `${path}.${process.pid}.part`
  try {
    await pipeline(answer, counter, createWriteStream(aside, { flags: 'wx' }), { signal })
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}

const describeAnswer = ({ headers }: IncomingMessage, bytes: number) => ({
  version: Number(headers['x-table-version']),
  sequence: Number(headers['x-table-sequence']),
  shape: String(headers['x-shape']).split(',').map(Number),
  dtype: String(headers['x-dtype']),
  bytes,
})
