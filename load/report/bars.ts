/** Bars of all servers for one scenario; every panel has its own scale, which starts at zero. */
import { drawing, element, hint, seriesClass, text } from './svg.ts'

export interface Bar {
  /** The server. */
  name: string
  value: number
  label: string
  /** Shown on hover. */
  detail: string
}

const WIDTH = 206
const NAME_WIDTH = 57
const VALUE_WIDTH = 64
const BAR_HEIGHT = 15
const STEP = 21
const TOP = 24

/** One panel: a heading, then a bar per server with its name before and its value behind it. */
export function drawBars(heading: string, bars: Bar[]): string {
  const longest = Math.max(...bars.map((bar) => bar.value))
  const room = WIDTH - NAME_WIDTH - VALUE_WIDTH
  const marks = bars.map((bar, index) => {
    const y = TOP + index * STEP
    const width = Math.max(1.5, (bar.value / longest) * room)
    const middle = y + BAR_HEIGHT / 2 + 4
    return element(
      'g',
      { class: seriesClass(bar.name) },
      hint(`${bar.name}: ${bar.detail}`),
      text(NAME_WIDTH - 7, middle, bar.name, 'plot-name', 'end'),
      element('rect', { x: NAME_WIDTH, y, width, height: BAR_HEIGHT, rx: 2, class: 'bar' }),
      text(NAME_WIDTH + width + 6, middle, bar.label, 'plot-value'),
    )
  })
  const label = `${heading}: ${bars.map((bar) => `${bar.name} ${bar.label}`).join(', ')}`
  return drawing(WIDTH, TOP + bars.length * STEP, label, text(0, 12, heading, 'plot-heading'), ...marks)
}
