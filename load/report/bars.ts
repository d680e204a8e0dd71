/** Bars of all servers for one scenario; every panel has its own scale, which starts at zero. */
import { escapeHtml } from './format.ts'
import { drawing, element, hint, seriesClass, text } from './svg.ts'

export interface Bar {
  /** The server. */
  name: string
  value: number
  label: string
  /** A note in a softer colour behind the label. */
  note?: string
  /** Shown on hover. */
  detail: string
}

/** Pixels across: of the whole panel, before the bars for names, behind the longest for its value. */
export interface BarWidths {
  panel: number
  name: number
  value: number
}

const WIDTHS: BarWidths = { panel: 222, name: 72, value: 64 }
const BAR_HEIGHT = 15
const STEP = 21
const TOP = 24

/** One panel: a heading, then a bar per server with its name before and its value behind it. */
export function drawBars(heading: string, bars: Bar[], widths: BarWidths = WIDTHS): string {
  const longest = Math.max(...bars.map((bar) => bar.value))
  const room = widths.panel - widths.name - widths.value
  const marks = bars.map((bar, index) => {
    const y = TOP + index * STEP
    const width = Math.max(1.5, (bar.value / longest) * room)
    const middle = y + BAR_HEIGHT / 2 + 4
    return element(
      'g',
      { class: seriesClass(bar.name) },
      hint(`${bar.name}: ${bar.detail}`),
      text(widths.name - 7, middle, bar.name, 'plot-name', 'end'),
      element('rect', { x: widths.name, y, width, height: BAR_HEIGHT, rx: 2, class: 'bar' }),
      valueText(widths.name + width + 6, middle, bar),
    )
  })
  const label = `${heading}: ${bars.map((bar) => `${bar.name} ${bar.label}`).join(', ')}`
  return drawing(
    widths.panel,
    TOP + bars.length * STEP,
    label,
    text(0, 12, heading, 'plot-heading'),
    ...marks,
  )
}

const valueText = (x: number, y: number, { label, note }: Bar): string => {
  const behind = note === undefined ? '' : element('tspan', { dx: 8, class: 'plot-note' }, escapeHtml(note))
  return element('text', { x, y, class: 'plot-value' }, escapeHtml(label), behind)
}
