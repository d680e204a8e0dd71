/** Curves: CPU per row against the size of a request, throughput and latency against the number of connections. */
import type { RunMeasure } from '../meter.ts'
import type { Results } from '../results.ts'
import { formatCount, formatShort, formatUs } from './format.ts'
import { type Curve, drawLines, type LinePlot } from './lines.ts'
import { section } from './section.ts'
import { element, seriesClass } from './svg.ts'

/** Pixels: three or two plots in a line. */
const PLOT_WIDTH = 352
const PLOT_WIDTH_HALF = 540

const CURVES = [
  { encoding: 'binary', dim: 16, name: 'binary × 16', className: 'series-gatherd dashed' },
  { encoding: 'binary', dim: 64, name: 'binary × 64', className: 'series-gatherd' },
  { encoding: 'json', dim: 16, name: 'JSON × 16', className: 'series-other dashed' },
  { encoding: 'json', dim: 64, name: 'JSON × 64', className: 'series-other' },
] as const

/** Server CPU per row, one plot per server. */
export function drawCpuPerRow(results: Results): string {
  const plots = results.targets
    .map(({ name }) => ({ name, curves: curvesPerRow(results, name) }))
    .filter(({ curves }) => curves.some(({ points }) => points.length > 1))
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
    'What one row costs falls with the number of rows in a request, until only the rows themselves are left. The axes are the same in all plots.',
    element('div', { class: 'plots' }, ...drawn),
  )
}

function curvesPerRow({ scenarios }: Results, targetName: string): Curve[] {
  return CURVES.map(({ encoding, dim, name, className }) => {
    const members = scenarios.filter(
      (scenario) =>
        scenario.kind === 'lookup' &&
        scenario.role === 'main' &&
        scenario.distribution === 'zipf' &&
        scenario.encoding === encoding &&
        scenario.dim === dim,
    )
    const points = members.flatMap(({ idCount, measured }) => {
      const perRowNs = measured[targetName]?.median.serverCpuPerRowNs
      if (perRowNs === undefined) return []
      return [{ x: idCount, y: perRowNs, detail: `${formatCount(idCount)} ids, ${formatUs(perRowNs / 1_000)} a row` }]
    })
    return { name, className, points }
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
    'Binary lookups of 64 dimensions. Where throughput is flat, server or client is busy all the time and more connections only wait.',
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
        one.kind === 'lookup' && one.encoding === 'binary' && one.dim === 64 && one.distribution === 'zipf' && one.idCount === idCount,
    )
    .sort((left, right) => left.connectionCount - right.connectionCount)
  const curves = targets.map(({ name }) => ({
    name,
    className: seriesClass(name),
    points: members.flatMap(({ connectionCount, measured }) => {
      const value = measured[name] === undefined ? undefined : read(measured[name].median)
      return value === undefined ? [] : [{ x: connectionCount, y: value, detail: `${connectionCount} connections, ${print(value)}` }]
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
