import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseContentDigest } from '../../src/formats/digest.ts'
import { codeOf, refusalOf } from './refusal.ts'

const hash = createHash('sha256').update('{"hello": "world"}\n').digest()
const expected = new Uint8Array(hash)
// The content and its digest are those of RFC 9530, appendix D.
const item = ':RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:'
const other = `:${Buffer.alloc(64).toString('base64')}:`

test("The example digest in RFC 9530 is the digest of the RFC's content", () => {
  expect(parseContentDigest(`sha-256=${item}`)).toEqual(expected)
})

describe('a Content-Digest with sha-256 is read', () => {
  test.each([
    `sha-256=${item}`,
    `  sha-256=${item}  `,
    `sha-512=${other},sha-256=${item}`,
    `sha-256=${item} \t,\t sha-512=${other}`,
    `sha-256=${item};a`,
    `sha-256=${item}; a=1;b="x, sha-256=:AAAA:";c=?0;*d=tok/en:x;e=:AAAA:;f=-1.5;g=@1659578233;h=%"f%c3%bc"`,
    `sha-256=${item};a=" \\\\ \\" "`,
    `sha-256=${item.replace('=:', ':')}`,
    `sha-256=${item};x, sha-512=${other};x`,
    `unixsum=30637, md5, sha-256=${item}`,
  ])('%s', (header) => {
    expect(parseContentDigest(header)).toEqual(expected)
  })

  test.each([
    '',
    '  ',
    `sha-512=${other}`,
    'sha-512=:AA==:, crc32c=:AAAA:;p',
    'sha-2560=:AAAA:',
    'md5="x"',
    'unixsum=1',
    'sha=token',
  ])('and other algorithms are ignored: %j', (header) => {
    expect(parseContentDigest(header)).toBe(undefined)
  })

  test('and the last of several sha-256 digests counts', () => {
    const zeros = `:${Buffer.alloc(32).toString('base64')}:`
    expect(parseContentDigest(`sha-256=${item}, sha-256=${zeros}`)).toEqual(new Uint8Array(32))
  })
})

describe('a malformed Content-Digest is refused as INVALID_REQUEST', () => {
  test.each([
    'sha-256',
    'sha-256=',
    `sha-256=${item.slice(1)}`,
    `sha-256=${item.slice(0, -1)}`,
    `sha-256=${item.slice(1, -1)}`,
    `SHA-256=${item}`,
    `Sha-256=${item}`,
    'sha-256=::',
    'sha-256=:AAAA:',
    `sha-256=${other}`,
    `sha-256="${item.slice(1, -1)}"`,
    'sha-256=1',
    'sha-256=?1',
    `sha-256=${item.replace('RK', 'R-')}`,
    `sha-256=${item.replace('RK', 'R K')}`,
    `sha-256=${item.replace('RK', '=RK')}`,
    `sha-256 =${item}`,
    `sha-256= ${item}`,
    `sha-256=${item},`,
    `,sha-256=${item}`,
    `sha-256=${item},,sha-512=${other}`,
    `sha-256=${item} sha-512=${other}`,
    `sha-256=${item}x`,
    `sha-256=${item};`,
    `sha-256=${item};=1`,
    `sha-256=${item};A=1`,
    `sha-256=${item};a=`,
    `sha-256=${item};a="x`,
    `sha-256=${item};a="\\x"`,
    `sha-256=${item} ;a`,
    `\tsha-256=${item}`,
    `sha-256=${item}\n`,
    `9=${item}`,
    `=${item}`,
    'x=(1 2)',
    'x=ü',
    'x=?2',
    'x="ü"',
    'x=1234567890123456',
    `sha-256=${item}, x=:A=B:`,
  ])('%j', (header) => {
    expect(codeOf(() => parseContentDigest(header))).toBe('INVALID_REQUEST')
  })

  test('with the expected form in its detail', () => {
    expect(refusalOf(() => parseContentDigest('md5')).code).toBe(null)
    expect(refusalOf(() => parseContentDigest('sha-256=abc')).detail).toContain(
      'sha-256=:<base64 of 32 bytes>:',
    )
  })

  test('when it is cut anywhere after its name', () => {
    const header = `sha-256=${item}`
    for (let length = 'sha-256'.length; length < header.length; length += 1) {
      expect(codeOf(() => parseContentDigest(header.slice(0, length)))).toBe('INVALID_REQUEST')
    }
  })
})

test('Any 32 bytes can be written as a digest and read back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      expect(parseContentDigest(`sha-256=:${Buffer.from(bytes).toString('base64')}:`)).toEqual(bytes)
    }),
  )
})

test('Any text is read as 32 bytes, as no digest, or refused as INVALID_REQUEST', () => {
  const pieces = fc.constantFrom(
    'sha-256',
    'sha-512',
    '=',
    item,
    other,
    ':',
    ',',
    ' ',
    '\t',
    ';',
    'a',
    '"',
    '\\',
    '?1',
    '1.5',
    '@',
    '%',
    'ü',
    '\0',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(pieces, { maxLength: 12 }).map((list) => list.join('')),
        fc.string(),
      ),
      (header) => {
        let digest: Uint8Array | undefined
        const code = codeOf(() => (digest = parseContentDigest(header)))
        expect(code === null || code === 'INVALID_REQUEST').toBe(true)
        if (digest !== undefined) expect(digest.length).toBe(32)
      },
    ),
    { numRuns: 2000 },
  )
})
