/**
 * Parses lists of numbers in a query string, such as `0,2,5`; the empty string is the empty list. Numbers
 * have their JSON form, without spaces.
 */
import { refuse } from '../core/errors.ts'

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

const parseList = (
  text: string,
  name: string,
  expected: string,
  isFit: (value: number) => boolean,
): number[] => {
  const parts = text === '' ? [] : text.split(',')
  return parts.map((part, i) => {
    const value = NUMBER.test(part) ? Number(part) : NaN
    if (isFit(value)) return value
    const detail = `expected ${expected}, got ${JSON.stringify(part)}`
    return refuse('INVALID_REQUEST', `${name}: ${detail}`, { errors: [{ pointer: `/${name}/${i}`, detail }] })
  })
}

/** Parses the numbers of query parameter `name`. Refuses INVALID_REQUEST with the place. */
export const parseNumbers = (text: string, name: string): number[] =>
  parseList(text, name, 'a number', (value) => !Number.isNaN(value))

/** Parses the integers of query parameter `name`. Refuses INVALID_REQUEST with the place. */
export const parseIntegers = (text: string, name: string): number[] =>
  parseList(text, name, 'an integer', Number.isSafeInteger)
