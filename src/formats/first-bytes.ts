/**
 * Recognises by its first bytes what a body or a file is, when it is not what it was sent as. A message that
 * names the cause says what to do; one that names a byte does not.
 */

/** What some bytes begin as. */
export interface Content {
  kind: string
  /** The kind with its article, for messages. */
  name: string
  /** What the sender should do instead. */
  remedy: string
}

interface Signature extends Content {
  begins: (bytes: Uint8Array) => boolean
}

const startsWith =
  (...numbers: number[]) =>
  (bytes: Uint8Array): boolean =>
    bytes.length >= numbers.length && numbers.every((number, index) => bytes[index] === number)

const startsWithText = (text: string): ((bytes: Uint8Array) => boolean) => startsWith(...Buffer.from(text))

const matchesText =
  (pattern: RegExp) =>
  (bytes: Uint8Array): boolean =>
    pattern.test(Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).toString('latin1'))

const TORCH_REMEDY =
  'load it with torch.load(file, weights_only=True) and send the matrix with safetensors.torch.save'
const DECOMPRESS = 'send it decompressed'

/** The longer of two signatures that begin alike comes first. */
const SIGNATURES: readonly Signature[] = [
  {
    kind: 'npy',
    name: 'an npy file',
    remedy: 'its type is application/x-npy',
    begins: startsWith(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59),
  },
  {
    kind: 'safetensors',
    name: 'a safetensors file',
    remedy: 'its type is application/x-safetensors',
    begins: matchesText(/^[^]{4}\0{4}[ \t\r\n]*\{/),
  },
  { kind: 'gzip', name: 'gzip', remedy: DECOMPRESS, begins: startsWith(0x1f, 0x8b) },
  { kind: 'zstandard', name: 'zstandard', remedy: DECOMPRESS, begins: startsWith(0x28, 0xb5, 0x2f, 0xfd) },
  { kind: 'xz', name: 'xz', remedy: DECOMPRESS, begins: startsWith(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00) },
  { kind: 'bzip2', name: 'bzip2', remedy: DECOMPRESS, begins: matchesText(/^BZh[1-9]1AY&SY/) },
  {
    kind: 'zip',
    name: 'a zip archive, as npz files are',
    remedy: 'send one array of it with np.save, or use npx gatherd put',
    begins: startsWith(0x50, 0x4b, 0x03, 0x04),
  },
  {
    kind: 'parquet',
    name: 'a Parquet file',
    remedy: "send np.stack(frame['column']) of it with np.save",
    begins: startsWithText('PAR1'),
  },
  {
    kind: 'arrow',
    name: 'an Arrow file',
    remedy: "send np.stack(frame['column']) of it with np.save",
    begins: startsWithText('ARROW1'),
  },
  {
    kind: 'hdf5',
    name: 'an HDF5 file',
    remedy: 'read the matrix with h5py and send it with np.save',
    begins: startsWith(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a),
  },
  {
    kind: 'torch',
    name: 'a checkpoint of PyTorch before 1.6',
    remedy: TORCH_REMEDY,
    begins: startsWith(0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20),
  },
  {
    kind: 'pickle',
    name: 'a Python pickle',
    remedy: 'pickles are programs and are not read: load it yourself and send the matrix with np.save',
    begins: (bytes) => bytes[0] === 0x80 && bytes[1] >= 2 && bytes[1] <= 5,
  },
  {
    kind: 'matlab',
    name: 'a MATLAB file',
    remedy: 'read it with scipy.io.loadmat and send the matrix with np.save',
    begins: startsWithText('MATLAB 5.0 MAT-file'),
  },
  {
    kind: 'gguf',
    name: 'a GGUF file',
    remedy: 'read the matrix with the gguf package and send it with np.save',
    begins: startsWithText('GGUF'),
  },
  {
    kind: 'fasttext',
    name: 'a fastText model',
    remedy: 'send its .vec file by npx gatherd put, or model.get_input_matrix() with np.save',
    begins: startsWith(0xba, 0x16, 0x4f, 0x2f),
  },
  {
    kind: 'sqlite',
    name: 'an SQLite database',
    remedy: 'send the matrix with np.save',
    begins: startsWithText('SQLite format 3\0'),
  },
  { kind: 'utf-32', name: 'UTF-32', remedy: 'send UTF-8', begins: startsWith(0xff, 0xfe, 0x00, 0x00) },
  {
    kind: 'utf-16',
    name: 'UTF-16',
    remedy: 'send UTF-8',
    begins: (bytes) =>
      (bytes[0] === 0xff && bytes[1] === 0xfe) ||
      (bytes[0] === 0xfe && bytes[1] === 0xff) ||
      matchesText(/^(?:[{[]\0|\0[{[])/)(bytes),
  },
  {
    kind: 'bom',
    name: 'a byte order mark (BOM), which JSON does not have',
    remedy: "leave it out: write UTF-8 without BOM ('utf-8', not 'utf-8-sig')",
    begins: startsWith(0xef, 0xbb, 0xbf),
  },
  {
    kind: 'html',
    name: 'HTML or XML',
    remedy: 'it may be the page of a proxy or a login',
    begins: matchesText(/^\s*<[!?a-zA-Z]/),
  },
  {
    kind: 'multipart',
    name: 'a multipart form',
    remedy: 'send the contents of the file as the body (curl --data-binary @file)',
    begins: matchesText(/^--[!-~]+\r\n/),
  },
  {
    kind: 'form',
    name: 'form data',
    remedy: 'send the body as it is (curl --data-binary, requests.post(data=bytes) or json=)',
    begins: matchesText(/^[A-Za-z_][\w.%[\]-]*=(?:[^=]|$)/),
  },
]

/** Recognises what `bytes` begin as; undefined for anything unknown, and for JSON. */
export const recogniseContent = (bytes: Uint8Array): Content | undefined =>
  SIGNATURES.find(({ begins }) => begins(bytes))

/** Says what `bytes` begin as and what to do, for a message; undefined when that is not known. */
export const nameContent = (bytes: Uint8Array): string | undefined => {
  const content = recogniseContent(bytes)
  return content && `it begins as ${content.name}: ${content.remedy}`
}
