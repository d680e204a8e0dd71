import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { nameContent, recogniseContent } from '../../src/formats/first-bytes.ts'
import { readJsonObject } from '../../src/formats/json-reader.ts'
import { readNpy } from '../../src/formats/npy.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { readFixture, refusalOf } from './refusal.ts'

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')
const JSON_TEXT = '{"indices":[0]}'

describe('A JSON body that is something else is refused by the name of that', () => {
  test.each([
    ['a byte order mark', Buffer.from(`\ufeff${JSON_TEXT}`), 'BOM'],
    ['UTF-16 with a mark', utf16(`\ufeff${JSON_TEXT}`), 'UTF-16'],
    ['UTF-16 without a mark', utf16(JSON_TEXT), 'UTF-16'],
    ['big-endian UTF-16', utf16(JSON_TEXT).swap16(), 'UTF-16'],
    ['UTF-32', Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), Buffer.alloc(8)]), 'UTF-32'],
    ['gzip', gzipSync(JSON_TEXT), 'gzip'],
    ['HTML', Buffer.from('<!doctype html><p>'), 'HTML'],
    ['form data', Buffer.from('indices=3&mode=clip'), 'form data'],
    ['form data with a name that begins as a literal', Buffer.from('n=1'), 'form data'],
    ['a multipart form', Buffer.from('--abc\r\nContent-Disposition: form-data\r\n'), 'multipart'],
    ['npy', Buffer.from(readFixture('float32.npy')), 'application/x-npy'],
    ['safetensors', Buffer.from(readFixture('shapes.safetensors')), 'application/x-safetensors'],
    ['a pickle', Buffer.from(readFixture('writers/rows.pkl')), 'pickle'],
  ])('%s', (_name, body, cause) => {
    const { code, detail } = refusalOf(() => readJsonObject(body, ['indices']))
    expect(code).toBe('MALFORMED_BODY')
    expect(detail).toMatch(/^the body is not JSON: it begins as /)
    expect(detail).toContain(cause)
  })

  test.each([
    [`${JSON_TEXT}\n${JSON_TEXT}`, 'NDJSON'],
    ["{'indices':[0]}", 'double quotes'],
    ['{"a":NaN}', 'no NaN'],
    ['{"indices":[1,NaN]}', 'no NaN'],
    ['{"a":-Infinity}', 'no infinity'],
    ['{"a":True}', 'lower case'],
    ['{"indices":[1,2,]}', 'no comma at the end'],
    ['{"a":1,}', 'no comma at the end'],
    ['// why\n{}', 'no comments'],
    ['"{\\"indices\\":[0]}"', 'send the object itself'],
  ])('%s', (text, cause) => {
    expect(refusalOf(() => readJsonObject(Buffer.from(text), ['indices'])).detail).toContain(cause)
  })

  test('but one without a value before its bracket has no comma too many', () => {
    expect(refusalOf(() => readJsonObject(Buffer.from('{"a":}'), [])).detail).not.toContain('comma')
  })
})

describe('Another body than was announced is named', () => {
  test('where npy or safetensors is expected', () => {
    const zip = readFixture('writers/one.npz')
    expect(refusalOf(() => readNpy(zip)).detail).toContain('npz')
    expect(refusalOf(() => readSafetensors(zip)).detail).toContain('npz')
    expect(refusalOf(() => readNpy(readFixture('shapes.safetensors'))).detail).toContain('safetensors')
    expect(refusalOf(() => readSafetensors(readFixture('float32.npy'))).detail).toContain('npy')
  })
})

test('Files of other writers are recognised, and JSON, text and numbers are not', () => {
  const kinds = ['rows.parquet', 'rows.arrow', 'rows.pkl', 'one.npz', 'rows.npy.gz', 'checkpoint.safetensors']
  expect(kinds.map((file) => recogniseContent(readFixture(`writers/${file}`))?.kind)).toEqual([
    'parquet',
    'arrow',
    'pickle',
    'zip',
    'gzip',
    'safetensors',
  ])
  for (const space of ['', ' ', '\n\t'])
    expect(recogniseContent(Buffer.from(`\u0002\0\0\0\0\0\0\0${space}{}`))?.kind).toBe('safetensors')
  for (const text of ['{}', ' [1]', '3', 'the 0.1 0.2', '', 'a'])
    expect(nameContent(Buffer.from(text))).toBe(undefined)
})
