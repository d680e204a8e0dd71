import { expect, test } from 'vitest'
import { readOptions } from '../src/options.ts'

const NAMES = ['GATHERD_PORT', 'GATHERD_DATA_DIR', 'GATHERD_DRAIN_MS']
const read = (...words: string[]) => readOptions(words, NAMES)

test('Options are read with a space or an equals sign, and the last of equal ones counts', () => {
  expect(read('--port', '1', '--data-dir=a=b c', '--port=2')).toEqual({
    values: { GATHERD_PORT: '2', GATHERD_DATA_DIR: 'a=b c' },
    problems: [],
  })
  expect(read('--drain-ms', '-5', '--data-dir=')).toEqual({
    values: { GATHERD_DRAIN_MS: '-5', GATHERD_DATA_DIR: '' },
    problems: [],
  })
})

test('Every mistake among options is named, once', () => {
  expect(read('--prot', '80', 'hello', '--port', '--data-dir', 'x', '-p', '--constructor=1')).toEqual({
    values: { GATHERD_DATA_DIR: 'x' },
    problems: [
      'there is no option --prot; did you mean --port?; gatherd serve --help lists them',
      '"hello" is not an option; a setting is given as in --port 9000',
      '--port needs a value behind it',
      'there is no option -p; gatherd serve --help lists them',
      'there is no option --constructor; gatherd serve --help lists them',
    ],
  })
})
