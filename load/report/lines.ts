/** Curves over two logarithmic axes, each named at its right end. */
import { makeLogScale, spreadApart } from './scale.ts'
import { drawing, element, hint, line, text } from './svg.ts'

export interface Curve {
  name: string
  /** Class that colours it; `dashed` tells apart curves of one colour. */
  className: string
  points: { x: number; y: number; detail: string }[]
}

export interface LinePlot {
  heading: string
  xLabel: string
  curves: Curve[]
  /** Values that the y axis must hold: those of all plots that are to be compared. */
  yValues: number[]
  /** Pixels. */
  width: number
  formatX(value: number): string
  formatY(value: number): string
}

const HEIGHT = 262
const LEFT = 50
const RIGHT = 82
const TOP = 30
const BOTTOM = 40
const NAME_GAP = 14

/** One plot. The x axis is marked where there are points. */
export function drawLines(plot: LinePlot): string {
  const right = plot.width - RIGHT
  const points = plot.curves.flatMap((curve) => curve.points)
  const xValues = [...new Set(points.map((point) => point.x))].sort((left, right) => left - right)
  const first = Math.log(xValues[0])
  const span = Math.log(xValues[xValues.length - 1]) - first || 1
  const xAt = (x: number): number => LEFT + 8 + ((Math.log(x) - first) / span) * (right - LEFT - 16)
  const y = makeLogScale(plot.yValues, HEIGHT - BOTTOM, TOP)
  const axes = [
    ...y.ticks.flatMap((tick) => [
      line(LEFT, y.at(tick), right, y.at(tick), 'grid'),
      text(LEFT - 7, y.at(tick) + 4, plot.formatY(tick), 'plot-tick', 'end'),
    ]),
    ...xValues.map((value) =>
      text(xAt(value), HEIGHT - BOTTOM + 17, plot.formatX(value), 'plot-tick', 'middle'),
    ),
    text((LEFT + right) / 2, HEIGHT - 6, plot.xLabel, 'plot-tick', 'middle'),
  ]
  const curves = plot.curves.filter((curve) => curve.points.length > 0)
  const nameAt = spreadApart(
    curves.map((curve) => y.at(curve.points[curve.points.length - 1].y)),
    NAME_GAP,
  )
  const drawn = curves.map((curve, index) => drawCurve(curve, xAt, y.at, nameAt[index]))
  return drawing(
    plot.width,
    HEIGHT,
    plot.heading,
    text(0, 12, plot.heading, 'plot-heading'),
    ...axes,
    ...drawn,
  )
}

function drawCurve(
  curve: Curve,
  xAt: (x: number) => number,
  yAt: (y: number) => number,
  nameY: number,
): string {
  const path = curve.points
    .map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${xAt(x).toFixed(1)} ${yAt(y).toFixed(1)}`)
    .join('')
  const last = curve.points[curve.points.length - 1]
  return element(
    'g',
    { class: curve.className },
    element('path', { d: path, class: 'curve' }),
    ...curve.points.map(({ x, y, detail }) =>
      element('circle', { cx: xAt(x), cy: yAt(y), r: 3.4, class: 'point' }, hint(`${curve.name}: ${detail}`)),
    ),
    text(xAt(last.x) + 9, nameY + 4, curve.name, 'plot-name-series'),
  )
}
