import process from 'node:process'

/**
 * Node's foreign function interface, without its warning that it is experimental: what is missing costs speed and nothing else. Throws on a
 * Node without it (before 26.1, or with --no-experimental-ffi).
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
