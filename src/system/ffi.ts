/**
 * Loads Node's foreign function interface. Everything that uses it only makes the service faster, so nothing
 * depends on it.
 */
import process from 'node:process'

/**
 * Returns `node:ffi` and suppresses its warning that it is experimental. Throws on a Node without it (before
 * 26.1, or with --no-experimental-ffi).
 */
export const loadFfi = (): typeof import('node:ffi') => {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule('node:ffi')
  } finally {
    process.emitWarning = emitWarning
  }
}
