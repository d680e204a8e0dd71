import { expect, test } from 'vitest'
import { announceToPeople, announceToPrograms } from '../src/announcement.ts'

const ADDRESS = 'http://[::1]:9000'

test('Programs get one line of JSON, whose text also holds the address as a word', () => {
  const line = announceToPrograms(ADDRESS, { httpThreadCount: 2, memoryQuotaBytes: 4e9 })
  expect(line.split('\n')).toHaveLength(2)
  const { level, url, msg, memoryQuotaBytes } = JSON.parse(line)
  expect([level, url, memoryQuotaBytes]).toEqual([30, ADDRESS, 4e9])
  expect(msg.split(' ')).toContain(ADDRESS)
  expect(/is ready: (\S+)/.exec(line)?.[1]).toBe(ADDRESS)
})

test('People get the address and requests to try at it', () => {
  const lines = announceToPeople(ADDRESS).split('\n')
  expect(lines[0]).toMatch(/^gatherd \d+\.\d+\.\d+ is ready: http:\/\/\[::1\]:9000$/)
  expect(lines.filter((line) => line.includes(`curl `))).toHaveLength(2)
  for (const line of lines.filter((each) => each.includes('http'))) expect(line).toContain(ADDRESS)
})
