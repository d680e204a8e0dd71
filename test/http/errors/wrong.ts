/** Describes wrong requests and sends them; the lists beside it hold the requests. */
import type { ErrorCode } from '../../../src/core/errors.ts'
import { writeNpyHeader } from '../../../src/formats/npy.ts'
import type { App } from '../../../src/http/context.ts'

/** A request that must be refused. */
export interface Wrong {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  url?: string
  type?: string
  headers?: Record<string, string>
  payload?: object | string | Buffer
  code: ErrorCode
  /** The pointer of the first error. */
  pointer?: string
  detail?: RegExp
}

/** Makes an npy body. */
export const npy = (
  elementType: Parameters<typeof writeNpyHeader>[0],
  shape: number[],
  data: Buffer,
): Buffer => Buffer.concat([writeNpyHeader(elementType, shape), data])
/** Encodes numbers as float32. */
export const floats = (...values: number[]) => Buffer.from(new Float32Array(values).buffer)
export const LOOKUP = '/v1/tables/t/lookup'
export const TABLE = '/v1/tables/t'
export const RAW = 'application/octet-stream'
export const NPY = 'application/x-npy'
export const SAFE = 'application/x-safetensors'

/** Sends a wrong request unchanged. */
export const sendWrong = (app: App, { method = 'POST', url = '/', type, headers = {}, payload }: Wrong) => {
  const given = type ?? (payload === undefined ? '' : 'application/json')
  return app.inject({
    method,
    url,
    headers: { ...(given !== '' && { 'content-type': given }), ...headers },
    payload,
  })
}
