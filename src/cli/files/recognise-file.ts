/**
 * Knows a file of vectors by its first bytes: one that the service reads is sent as it is, one that is cheap
 * to convert becomes a temporary npy file, and for any other there is an error that says what to do.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { recogniseContent } from '../../formats/first-bytes.ts'
import { type Format, FORMATS, ONE_ARRAY, RAW } from '../../formats/format.ts'
import { LIMITS } from '../../core/limits.ts'
import { listNames } from '../../formats/scanner.ts'
import { UsageError } from '../errors.ts'
import { makeTemporaryFile } from './temporary-file.ts'
import { convertVectors, recogniseVectors } from './vectors.ts'
import { listZip, unpackEntry, type ZipEntry } from './zip.ts'

/** What the command line says about the file. */
export interface FileOptions {
  /** Whether the shape of a raw file was given. */
  hasShape: boolean
  /** The array of a file that holds several. */
  tensor?: string
  /** Where the words of word vectors are written. */
  wordsPath?: string
}

/** A file that can be sent, which may be a temporary one. */
export interface SendableFile {
  path: string
  contentType: string
  /** Whether `tensor` has been used up: the file to send has one array only. */
  usesTensor: boolean
  /** What was done with the file, for the user. */
  note?: string
  remove: () => Promise<void>
}

/** A line of word vectors has to fit. */
const HEAD_BYTES = 256 * 1024
const GZIP_DEPTH_MAX = 2

/** Finds or makes the file to send. Throws UsageError, or the system's error. */
export const recogniseFile = async (path: string, options: FileOptions, depth = 0): Promise<SendableFile> => {
  const head = await readHead(path)
  const isNamedRaw = endsLike(RAW, path)
  const keep = { path, usesTensor: false, remove: async () => {} }
  if (isNamedRaw && options.hasShape) return { ...keep, contentType: RAW.mediaType }
  const format = FORMATS.find((one) => one.carries !== 'numbers' && one.recognises(head))
  if (format !== undefined) return { ...keep, contentType: format.mediaType }
  const content = recogniseContent(head)
  if (content?.kind === 'gzip' && depth < GZIP_DEPTH_MAX) return unpackGzip(path, options, depth)
  if (content?.kind === 'zip') return unpackNpz(path, options)
  if (path.endsWith('.index.json')) return findShard(path, options)
  const vectors = recogniseVectors(head)
  if (vectors !== undefined) {
    const made = await makeTemporaryFile('vectors.npy', (target) =>
      convertVectors(path, vectors, target, options.wordsPath),
    )
    const note =
      options.wordsPath === undefined
        ? 'row i is the i-th word of the file; --words FILE writes the words'
        : `row i is line i of ${options.wordsPath}, from 0`
    return { ...made, contentType: ONE_ARRAY.mediaType, usesTensor: false, note }
  }
  if (content !== undefined) throw new UsageError(`${path} is ${content.name}: ${content.remedy}`)
  if (isNamedRaw) return { ...keep, contentType: RAW.mediaType }
  throw new UsageError(describeUnknown(path, head))
}

const endsLike = ({ fileEndings }: Format, path: string): boolean =>
  fileEndings.some((ending) => path.toLowerCase().endsWith(`.${ending}`))

const readHead = async (path: string): Promise<Buffer> => {
  const file = await open(path)
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    const { bytesRead } = await file.read(head, 0, head.length, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

const describeUnknown = (path: string, head: Buffer): string => {
  const known = FORMATS.filter(({ carries }) => carries !== 'numbers').map(({ name }) => name)
  if (/^\s*[[{]/.test(head.toString('latin1', 0, 64)))
    return `${path} is JSON: send a specification with curl, and a large table as npy`
  if (/^[-+\d.eE,;\t \r\n]{8,}$/.test(head.toString('latin1', 0, 256)))
    return `${path} is numbers as text: send np.loadtxt(file, delimiter=...) of it with np.save`
  const endings = RAW.fileEndings.join(' or .')
  return (
    `${path} is neither ${known.join(' nor ')}, npz, GloVe or word2vec vectors, nor gzip of these; raw numbers ` +
    `have a name that ends with .${endings}`
  )
}

/** Unpacks a gzip file and recognises what was in it. */
const unpackGzip = async (path: string, options: FileOptions, depth: number): Promise<SendableFile> => {
  const name = path.split(/[/\\]/).pop()?.replace(/\.gz$/i, '') ?? 'unpacked'
  const unpacked = await makeTemporaryFile(name, async (target) => {
    try {
      await pipeline(createReadStream(path), createGunzip(), createWriteStream(target))
    } catch (error) {
      if (String((error as NodeJS.ErrnoException).code).startsWith('Z_'))
        throw new UsageError(`${path} is a gzip file that is cut short or damaged`)
      throw error
    }
  })
  try {
    const inner = await recogniseFile(unpacked.path, options, depth + 1)
    if (inner.path === unpacked.path) return { ...inner, remove: unpacked.remove }
    await unpacked.remove()
    return inner
  } catch (error) {
    await unpacked.remove()
    // The user knows the file by the name that was given.
    if (error instanceof UsageError)
      throw new UsageError(error.message.replaceAll(unpacked.path, `what ${path} unpacks to`))
    throw error
  }
}

/** Unpacks the array of an npz file. */
const unpackNpz = async (path: string, { tensor }: FileOptions): Promise<SendableFile> => {
  const entries = await listZip(path)
  const arrays = entries.filter(({ name }) => name.endsWith('.npy'))
  if (arrays.length === 0) throw new UsageError(describeArchive(path, entries))
  const nameOf = ({ name }: ZipEntry): string => name.slice(0, -'.npy'.length)
  const entry =
    tensor === undefined && arrays.length === 1 ? arrays[0] : arrays.find((one) => nameOf(one) === tensor)
  if (entry === undefined) {
    const names = listNames(arrays.map(nameOf))
    throw new UsageError(
      tensor === undefined
        ? `${path} has several arrays: give --tensor, one of ${names}`
        : `${path} has no array ${JSON.stringify(tensor)}; it has ${names}`,
    )
  }
  const made = await makeTemporaryFile('array.npy', (target) => unpackEntry(path, entry, target))
  return { ...made, contentType: ONE_ARRAY.mediaType, usesTensor: tensor !== undefined }
}

const describeArchive = (path: string, entries: readonly ZipEntry[]): string => {
  const has = (pattern: RegExp): boolean => entries.some(({ name }) => pattern.test(name))
  if (has(/(^|\/)data\.pkl$/))
    return (
      `${path} is a checkpoint of PyTorch: load it with torch.load(file, weights_only=True) and write the matrix ` +
      "with safetensors.torch.save_file({'embeddings': matrix.contiguous()}, 'table.safetensors')"
    )
  if (has(/\.weights\.h5$/))
    return `${path} is a Keras model: np.save('table.npy', layer.get_weights()[0]) writes the matrix of a layer`
  return `${path} is a zip archive without npy files: unpack it first`
}

/** Finds the file that an index of a checkpoint in shards names for the array. */
const findShard = async (path: string, options: FileOptions): Promise<SendableFile> => {
  const { tensor } = options
  const map = await readWeightMap(path)
  const names = Object.keys(map)
  if (tensor === undefined)
    throw new UsageError(`${path} is of several arrays: give --tensor, one of ${listNames(names)}`)
  if (!Object.hasOwn(map, tensor))
    throw new UsageError(`${path} has no array ${JSON.stringify(tensor)}; it has ${listNames(names)}`)
  const shard = join(dirname(path), map[tensor])
  return { ...(await recogniseFile(shard, options)), note: `${tensor} is in ${shard}` }
}

const readWeightMap = async (path: string): Promise<Record<string, string>> => {
  const text = await readFile(path, 'utf8')
  try {
    const { weight_map: map } = JSON.parse(text.slice(0, LIMITS.safetensorsHeaderBytesMax)) as {
      weight_map?: Record<string, string>
    }
    if (
      typeof map === 'object' &&
      map !== null &&
      Object.values(map).every((file) => typeof file === 'string')
    )
      return map
  } catch {
    // What cannot be parsed has no map either.
  }
  throw new UsageError(`${path} has no weight_map, as the index of a checkpoint in shards has`)
}
