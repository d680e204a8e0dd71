import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { describePicture, drawPicture, replaceWords, takePictured } from '../../load/report/picture.ts'
import { RESULTS_FORMAT, type Results } from '../../load/results.ts'
import { makeResults } from './fixed-results.ts'

const readRoot = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')

describe('the picture of a fixed result', () => {
  const shown = takePictured(makeResults())
  const svg = drawPicture(shown)

  test('shows every server that did the work with its multiple of the CPU time of gatherd', () => {
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /)
    expect(shown.scenarios).toHaveLength(6)
    for (const name of ['gatherd', 'fastapi', 'redis', 'null-http']) expect(svg).toContain(`>${name}</text>`)
    expect(svg.match(/>2\.4×</g)).toHaveLength(5)
    expect(svg.match(/>7×</g)).toHaveLength(4)
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  test('is light or dark as the browser prefers, and loads nothing', () => {
    expect(svg).toContain('@media (prefers-color-scheme: dark)')
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', '')).not.toMatch(
      /https?:\/\/|url\(|@import|href|<script/,
    )
  })

  test('can be drawn from medians alone', () => {
    expect(shown.openLoop).toEqual([])
    expect(
      shown.scenarios.every(({ measured }) => Object.values(measured).every(({ runs }) => runs.length === 0)),
    ).toBe(true)
    expect(drawPicture(takePictured(shown))).toBe(svg)
  })

  test('omits servers that were not measured, and is refused when there are no others', () => {
    const results = makeResults()
    results.scenarios = results.scenarios.filter(({ kind }) => kind === 'lookup')
    expect(drawPicture(takePictured(results))).not.toContain('Gradients')
    results.scenarios = []
    expect(() => takePictured(results)).toThrow('no figure of the picture was measured')
  })

  test('has a caption with machine, versions, commit and method', () => {
    const words = describePicture(shown).replaceAll('\n', ' ')
    for (const fact of [
      '2 cores',
      'Linux 6.1',
      'Node 26.10.0, Python 3.11.7',
      'Redis 7.0.15',
      '0123456789+',
      '2026-11-22',
      '3 interleaved repeats',
    ]) {
      expect(words).toContain(fact)
    }
    expect(
      Math.max(
        ...describePicture(shown)
          .split('\n')
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(110)
  })
})

describe('the caption under the picture', () => {
  test('replaces the previous caption and nothing else', () => {
    const page = 'before\n\n![what](docs/load.svg)\n\nold\nwords\n\nafter\n'
    expect(replaceWords(page, 'docs/load.svg', 'new')).toBe(
      'before\n\n![what](docs/load.svg)\n\nnew\n\nafter\n',
    )
    expect(replaceWords('![what](docs/load.svg)\n\nold\n', 'docs/load.svg', 'new')).toBe(
      '![what](docs/load.svg)\n\nnew\n',
    )
    expect(replaceWords(page, 'docs/other.svg', 'new')).toBe(page)
  })
})

describe('the picture of the README', () => {
  const results = JSON.parse(readRoot('docs/load.json')) as Results

  test('equals one drawn from the figures beside it', () => {
    expect(results.format).toBe(RESULTS_FORMAT)
    expect(readRoot('docs/load.svg')).toBe(drawPicture(results))
  })

  test('has the caption of these figures', () => {
    const readme = readRoot('README.md')
    expect(readme).toContain('](docs/load.svg)\n')
    expect(readme).toContain(describePicture(results))
  })
})
