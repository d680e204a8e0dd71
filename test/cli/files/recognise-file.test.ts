import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tmpdir } from 'node:os'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FileOptions, recogniseFile } from '../../../src/cli/files/recognise-file.ts'
import { readNpy } from '../../../src/formats/npy.ts'
import { writers } from './writers.ts'

const ROWS = readNpy(new Uint8Array(readFileSync(writers('rows.npy')))).data
const WORDS = 'the\nof\nNew York\n42\né\n.\nthe end\n'
let folder: string
const file = (name: string): string => join(folder, name)
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(file(name), content)
  return file(name)
}
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-files-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const recognise = (path: string, options: Partial<FileOptions> = {}) =>
  recogniseFile(path, { hasShape: false, ...options })

describe('A file is known by its first bytes and converted if that is cheap:', () => {
  test.each([
    ['one.npz', undefined],
    ['compressed.npz', undefined],
    ['several.npz', 'rows'],
    ['glove.txt', undefined],
    ['word2vec.txt', undefined],
    ['word2vec.bin', undefined],
    ['rows.npy.gz', undefined],
    ['glove.txt.gz', undefined],
  ])('%s', async (name, tensor) => {
    const { path, contentType, usesTensor, remove } = await recognise(writers(name), { tensor })
    expect([contentType, usesTensor]).toEqual(['application/x-npy', tensor !== undefined])
    expect(readNpy(new Uint8Array(readFileSync(path)))).toEqual({
      elementType: 'float32',
      shape: [7, 5],
      data: ROWS,
    })
    await remove()
    expect(existsSync(dirname(path))).toBe(false)
  })

  test.each(['glove.txt', 'word2vec.txt', 'glove.txt.gz'])('%s, with its words', async (name) => {
    const { remove } = await recognise(writers(name), { wordsPath: file('words') })
    await remove()
    expect(readFileSync(file('words'), 'utf8')).toBe(WORDS)
  })

  test.each([
    ['text', Buffer.from('caf\xe9 0.5 1\nb 2 3\n\xc3\xa9\xa0 4 5\n', 'latin1')],
    [
      'binary',
      Buffer.concat(
        ['caf\xe9', 'b', '\xc3\xa9\xa0'].flatMap((word, row) => [
          Buffer.from(row === 0 ? `3 1\n${word} ` : `\n${word} `, 'latin1'),
          Buffer.from(Float32Array.of(row).buffer),
        ]),
      ),
    ],
  ])('words that are not UTF-8 are written as they are: %s', async (_, bytes) => {
    const { remove } = await recognise(write('vectors.txt', bytes), { wordsPath: file('words') })
    await remove()
    expect(readFileSync(file('words'), 'latin1')).toBe('caf\xe9\nb\n\xc3\xa9\xa0\n')
  })

  test('npy and safetensors are sent as they are, whatever their names', async () => {
    const renamed = write('model.bin', readFileSync(writers('checkpoint.safetensors')))
    expect(await recognise(renamed)).toMatchObject({
      path: renamed,
      contentType: 'application/x-safetensors',
    })
    expect(await recognise(writers('pandas.npy'))).toMatchObject({ path: writers('pandas.npy') })
  })

  test('the index of a checkpoint in shards leads to the shard of the array', async () => {
    const index = writers('model.safetensors.index.json')
    const shard = writers('model-00002-of-00002.safetensors')
    expect(await recognise(index, { tensor: 'embed' })).toMatchObject({ path: shard, usesTensor: false })
    await expect(recognise(index)).rejects.toThrow('give --tensor, one of "embed", "norm"')
    await expect(recognise(index, { tensor: 'x' })).rejects.toThrow('it has "embed", "norm"')
  })

  test('numbers with a shape are raw, and without one whatever they begin as', async () => {
    const path = write('vectors.bin', readFileSync(writers('word2vec.bin')))
    expect(await recognise(path, { hasShape: true })).toMatchObject({
      path,
      contentType: 'application/octet-stream',
    })
    const { contentType, remove } = await recognise(path)
    expect(contentType).toBe('application/x-npy')
    await remove()
    expect(await recognise(write('numbers.bin', new Uint8Array(64)))).toMatchObject({
      contentType: 'application/octet-stream',
    })
  })
})

describe('A file that is not read is refused with what to do:', () => {
  test.each([
    ['rows.pkl', 'pickles are programs'],
    ['rows.parquet', 'Parquet'],
    ['rows.arrow', 'Arrow'],
    ['several.npz', 'give --tensor, one of "rows", "bias"'],
  ])('%s', async (name, what) => {
    await expect(recognise(writers(name))).rejects.toThrow(what)
  })

  const checkpoint = (member: string) =>
    Buffer.from(readFileSync(writers('one.npz')).toString('latin1').replaceAll('rows.npy', member), 'latin1')
  test.each([
    ['pytorch_model.bin', checkpoint('data.pkl'), 'torch.load(file, weights_only=True)'],
    ['other.zip', checkpoint('rows.txt'), 'a zip archive without npy files'],
    ['keras.h5', Buffer.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]), 'h5py'],
    ['old.pt', Buffer.from('80028a0a6cfc9c46f920', 'hex'), 'torch.load'],
    ['rows.npy.xz', Buffer.from('fd377a585a00', 'hex'), 'decompressed'],
    ['numbers.csv', Buffer.from('1.0,2.0\n3.0,4.0\n'), 'np.loadtxt'],
    ['table.json', Buffer.from('{"values":[[1]]}'), 'a specification'],
    ['x.index.json', Buffer.from('{"metadata":{}}'), 'weight_map'],
    ['unknown', Buffer.from([1, 2, 3]), 'neither npy nor safetensors'],
    ['cut.npz', readFileSync(writers('one.npz')).subarray(0, 300), 'cut short or damaged'],
    ['pickle.gz', gzipSync(readFileSync(writers('rows.pkl'))), 'pickle.gz unpacks to is a Python pickle'],
    ['cut.gz', gzipSync(new Uint8Array(1000)).subarray(0, 20), 'cut short or damaged'],
    ['short.txt', Buffer.from('3 2\na 1 2\nb 3 4\n'), 'announces 3 rows and has 2'],
    ['ragged.txt', Buffer.from('a 1 2\nb 3\n'), 'line 2'],
    ['word.txt', Buffer.from('a 1 2\nb 3 x\n'), 'line 2'],
  ])('%s', async (name, content, what) => {
    await expect(recognise(write(name, content))).rejects.toThrow(what)
  })

  test('a member of an archive whose bytes were changed', async () => {
    const bytes = readFileSync(writers('one.npz'))
    bytes[200] ^= 1
    await expect(recognise(write('changed.npz', bytes))).rejects.toThrow('damaged')
    const packed = readFileSync(writers('compressed.npz'))
    packed[60] ^= 0xff
    await expect(recognise(write('changed.npz', packed))).rejects.toThrow('damaged')
  })
})
