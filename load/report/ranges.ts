/**
 * Latency percentiles on a logarithmic axis: from the median to the 99th, on to the 99.9th, and the slowest
 * answer.
 */
import { formatUs } from './format.ts'
import { makeLogScale } from './scale.ts'
import type { Latency } from '../measure/histogram.ts'
import { drawing, element, hint, line, seriesClass, text } from './svg.ts'

export interface RangeRow {
  label: string
  bands: { name: string; latency: Latency; requestCount: number }[]
}

const WIDTH = 540
/** Room for the labels, from the longest of them: this many pixels a letter suit every usual font. */
const LETTER_WIDTH = 6.6
const LABEL_GAP = 12
const RIGHT = 22
const BAND_HEIGHT = 12
const ROW_GAP = 12
const TOP = 26
/** With fewer answers the 99.9th percentile is the slowest one. */
const COUNT_FOR_P999 = 2_000

/**
 * Draws a row for each scenario, and in it a band for each server. `all` are the rows of all plots that are
 * compared: they set the axis.
 */
export function drawRanges(label: string, rows: RangeRow[], all: RangeRow[]): string {
  const latencies = all.flatMap((row) => row.bands.flatMap(({ latency }) => [latency.p50Us, latency.maxUs]))
  const labelWidth = Math.max(...all.map((row) => row.label.length)) * LETTER_WIDTH + LABEL_GAP
  const scale = makeLogScale(latencies, labelWidth, WIDTH - RIGHT)
  const bandCount = rows.reduce((sum, row) => sum + row.bands.length, 0)
  const height = TOP + bandCount * BAND_HEIGHT + rows.length * ROW_GAP
  const grid = scale.ticks.flatMap((tick) => [
    line(scale.at(tick), TOP - 6, scale.at(tick), height - 2, 'grid'),
    text(scale.at(tick), 13, formatUs(tick), 'plot-tick', 'middle'),
  ])
  let y = TOP + ROW_GAP / 2
  const body = rows.map((row) => {
    const rowHeight = row.bands.length * BAND_HEIGHT
    const drawn = [text(labelWidth - LABEL_GAP, y + rowHeight / 2 + 4, row.label, 'plot-label', 'end')]
    for (const band of row.bands) {
      drawn.push(drawBand(band, scale.at, y + BAND_HEIGHT / 2))
      y += BAND_HEIGHT
    }
    y += ROW_GAP
    return drawn.join('')
  })
  return drawing(WIDTH, height, label, ...grid, ...body)
}

function drawBand(
  { name, latency, requestCount }: RangeRow['bands'][number],
  at: (us: number) => number,
  y: number,
): string {
  const { p50Us, p90Us, p99Us, p999Us, maxUs } = latency
  const tail = requestCount >= COUNT_FOR_P999
  const detail =
    `p50 ${formatUs(p50Us)}, p90 ${formatUs(p90Us)}, p99 ${formatUs(p99Us)}, p99.9 ` +
    `${formatUs(p999Us)}, max ${formatUs(maxUs)}`
  return element(
    'g',
    { class: seriesClass(name) },
    hint(`${name}: ${detail}, ${requestCount} answers`),
    // Thin marks are hard to point at: the whole band reacts.
    element('rect', {
      x: at(p50Us),
      y: y - BAND_HEIGHT / 2,
      width: Math.max(1, at(maxUs) - at(p50Us)),
      height: BAND_HEIGHT,
      class: 'target',
    }),
    line(at(p99Us), y, at(maxUs), y, 'whisker'),
    line(at(p50Us), y, at(p99Us), y, 'range'),
    element('circle', { cx: at(p50Us), cy: y, r: 3.6, class: 'dot' }),
    element('circle', { cx: at(p90Us), cy: y, r: 2, class: 'hole' }),
    line(at(p99Us), y - 4.5, at(p99Us), y + 4.5, 'bound'),
    tail ? element('circle', { cx: at(p999Us), cy: y, r: 2.8, class: 'ring' }) : '',
    line(at(maxUs), y - 2.5, at(maxUs), y + 2.5, 'whisker'),
  )
}

/** Explains the marks of {@link drawRanges}. */
export function drawRangeKey(): string {
  const y = 8
  const marks: [number, string][] = [
    [14, 'p50'],
    [66, 'p90'],
    [110, 'p99'],
    [200, 'p99.9'],
    [286, 'max'],
  ]
  return element(
    'svg',
    {
      viewBox: '0 0 304 30',
      width: 304,
      height: 30,
      class: 'key series-gatherd',
      role: 'img',
      'aria-label': 'The marks: p50, p90, p99, p99.9, max',
    },
    line(110, y, 286, y, 'whisker'),
    line(14, y, 110, y, 'range'),
    element('circle', { cx: 14, cy: y, r: 3.6, class: 'dot' }),
    element('circle', { cx: 66, cy: y, r: 2, class: 'hole' }),
    line(110, y - 4.5, 110, y + 4.5, 'bound'),
    element('circle', { cx: 200, cy: y, r: 2.8, class: 'ring' }),
    line(286, y - 2.5, 286, y + 2.5, 'whisker'),
    ...marks.map(([x, name]) => text(x, 27, name, 'plot-tick', 'middle')),
  )
}
