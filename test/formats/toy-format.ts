import { refuse } from '../../src/core/errors.ts'
import { ELEMENT_BYTES, type ElementType } from '../../src/core/types.ts'
import type { NamedArraysFormat } from '../../src/formats/format.ts'
import type { NamedArray, TypedBytes } from '../../src/formats/shape.ts'

/*
 * A format that only tests know: "TOY", one byte, the length of a JSON header as uint32, the header, the
 * arrays without gaps, and "END". It has a tail, which none of the formats that are served has.
 */
const MAGIC = Buffer.from('TOY!')
const TAIL = Buffer.from('END')
const PREFIX_BYTES = 8

const bytesOf = ({ elementType, shape }: Pick<NamedArray, 'elementType' | 'shape'>): number =>
  shape.reduce((product, dimension) => product * dimension, ELEMENT_BYTES[elementType])

const measure = (prefix: Uint8Array): number | null => {
  if (prefix.length < PREFIX_BYTES) return null
  if (!MAGIC.equals(prefix.subarray(0, MAGIC.length))) refuse('MALFORMED_BODY', 'this is no toy')
  return PREFIX_BYTES + new DataView(prefix.buffer, prefix.byteOffset).getUint32(4, true)
}

const locate: NamedArraysFormat['locate'] = (header) => {
  const dataAt = measure(header) ?? refuse('MALFORMED_BODY', 'the toy ends in its header')
  const text = Buffer.from(header.subarray(PREFIX_BYTES, dataAt)).toString()
  const described = JSON.parse(text) as { name: string; elementType: ElementType; shape: number[] }[]
  const arrays: ReturnType<NamedArraysFormat['locate']>['arrays'] = new Map()
  let at = dataAt
  for (const { name, elementType, shape } of described) {
    const end = at + bytesOf({ elementType, shape })
    arrays.set(name, { elementType, shape, begin: at, end })
    at = end
  }
  return { arrays, unread: new Map(), metadata: new Map(), bodyBytes: at + TAIL.length }
}

const frame = (arrays: readonly NamedArray[]) => {
  const text = Buffer.from(JSON.stringify(arrays))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return { head: Buffer.concat([MAGIC, length, text]), tail: TAIL }
}

/** Reads a whole body; the tail must be there. */
export const readToy = (body: Uint8Array): Map<string, TypedBytes> => {
  const { arrays, bodyBytes } = locate(body, body.length)
  if (body.length !== bodyBytes || !TAIL.equals(body.subarray(-TAIL.length)))
    refuse('MALFORMED_BODY', 'the toy has no tail')
  return new Map(
    [...arrays].map(([name, { elementType, shape, begin, end }]) => [
      name,
      { elementType, shape, data: new Uint8Array(body.subarray(begin, end)) },
    ]),
  )
}

/** A body of these arrays, written without the registry. */
export const toyBody = (
  arrays: Record<string, { shape: number[]; data: Float32Array | Int32Array }>,
): Buffer => {
  const described = Object.entries(arrays).map(([name, { shape, data }]) => {
    const elementType = data instanceof Float32Array ? ('float32' as const) : ('int32' as const)
    return { name, elementType, shape }
  })
  const { head, tail } = frame(described)
  return Buffer.concat([head, ...Object.values(arrays).map(({ data }) => Buffer.from(data.buffer)), tail])
}

/** The row of the format. */
export const TOY: NamedArraysFormat = {
  name: 'toy',
  mediaType: 'application/x-toy',
  fileEndings: ['toy'],
  carries: 'named arrays',
  lacks: ['int8'],
  recognises: (prefix) => MAGIC.equals(prefix.subarray(0, MAGIC.length)),
  prefixBytes: PREFIX_BYTES,
  measureHeader: measure,
  read: readToy,
  locate,
  frame,
}
