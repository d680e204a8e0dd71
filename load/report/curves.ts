/**
 * Curves: CPU per row against the size of a request, throughput and latency against the number of
 * connections.
 */
import type { RunMeasure } from '../measure/meter.ts'
import type { Results } from '../results.ts'
import { formatCount, formatShort, formatUs } from './format.ts'
import { type Curve, drawLines, type LinePlot } from './lines.ts'
import { section } from './section.ts'
import { element, seriesClass } from './svg.ts'

/** Pixels: three or two plots in a line. */
const PLOT_WIDTH = 352
const PLOT_WIDTH_HALF = 540

const KINDS = [
  { encoding: 'binary', dim: 16, name: 'Binary, 16 dimensions' },
  { encoding: 'binary', dim: 64, name: 'Binary, 64 dimensions' },
  { encoding: 'json', dim: 16, name: 'JSON, 16 dimensions' },
  { encoding: 'json', dim: 64, name: 'JSON, 64 dimensions' },
] as const

/** Server CPU per row of all servers, one plot for each encoding and width. */
export function drawCpuPerRow(results: Results): string {
  const plots = KINDS.map((kind) => ({ name: kind.name, curves: curvesPerRow(results, kind) })).filter(
    ({ curves }) => curves.some(({ points }) => points.length > 1),
  )
  if (plots.length === 0) return ''
  const yValues = plots.flatMap(({ curves }) => curves.flatMap(({ points }) => points.map(({ y }) => y)))
  const drawn = plots.map(({ name, curves }) =>
    drawLines({
      heading: name,
      xLabel: 'ids in one request',
      curves,
      yValues,
      width: PLOT_WIDTH,
      formatX: formatTick,
      formatY: (ns) => formatUs(ns / 1_000),
    }),
  )
  return section(
    'Server CPU per row',
    'What one row of a lookup costs falls with the number of rows in a request, until only the rows ' +
      'themselves are left. The axes are the same in all plots.',
    element('div', { class: 'plots' }, ...drawn),
  )
}

function curvesPerRow({ scenarios, targets }: Results, { encoding, dim }: (typeof KINDS)[number]): Curve[] {
  const members = scenarios.filter(
    (scenario) =>
      scenario.kind === 'lookup' &&
      scenario.role === 'main' &&
      scenario.distribution === 'zipf' &&
      scenario.encoding === encoding &&
      scenario.dim === dim,
  )
  return targets.map(({ name }) => {
    const points = members.flatMap(({ idCount, measured }) => {
      const perRowNs = measured[name]?.median.serverCpuPerRowNs
      if (perRowNs === undefined) return []
      return [
        {
          x: idCount,
          y: perRowNs,
          detail: `${formatCount(idCount)} ids, ${formatUs(perRowNs / 1_000)} a row`,
        },
      ]
    })
    return { name, className: seriesClass(name), points }
  })
}

/** Throughput and latency against the number of connections. */
export function drawSweep(results: Results): string {
  const swept = results.scenarios.filter((scenario) => scenario.role === 'sweep')
  const plots = [...new Set(swept.map(({ idCount }) => idCount))].flatMap((idCount) => [
    sweepPlot(results, idCount, 'requests a second', (measure) => measure.requestsPerSecond, formatShort),
    sweepPlot(results, idCount, 'p99', (measure) => measure.p99Us, formatUs),
  ])
  if (plots.length === 0) return ''
  return section(
    'Against the number of connections',
    'Binary lookups of 64 dimensions. Where throughput is flat, server or client is busy all the time ' +
      'and more connections only wait.',
    element('div', { class: 'plots' }, ...plots.map(drawLines)),
  )
}

type Figure = (measure: RunMeasure) => number

function sweepPlot(
  { scenarios, targets }: Results,
  idCount: number,
  what: string,
  read: Figure,
  print: (value: number) => string,
): LinePlot {
  const members = scenarios
    .filter(
      (one) =>
        one.kind === 'lookup' &&
        one.encoding === 'binary' &&
        one.dim === 64 &&
        one.distribution === 'zipf' &&
        one.idCount === idCount,
    )
    .sort((left, right) => left.connectionCount - right.connectionCount)
  const curves = targets.map(({ name }) => ({
    name,
    className: seriesClass(name),
    points: members.flatMap(({ connectionCount, measured }) => {
      const value = measured[name] === undefined ? undefined : read(measured[name].median)
      return value === undefined
        ? []
        : [{ x: connectionCount, y: value, detail: `${connectionCount} connections, ${print(value)}` }]
    }),
  }))
  const yValues = curves.flatMap(({ points }) => points.map(({ y }) => y))
  return {
    heading: `${formatCount(idCount)} ids: ${what}`,
    xLabel: 'connections',
    curves,
    yValues,
    width: PLOT_WIDTH_HALF,
    formatX: formatTick,
    formatY: print,
  }
}

const formatTick = (value: number): string => (value >= 1_000 ? formatCount(value) : String(value))
