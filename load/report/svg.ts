/** SVG and HTML as strings: one function for an element, so that every value is escaped. */
import { escapeHtml } from './format.ts'

export type Attributes = Record<string, string | number | undefined>

/** One element. Attributes that are undefined are left out; children are markup already. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const shown = typeof value === 'number' ? Math.round(value * 100) / 100 : value
      return ` ${key}="${escapeHtml(String(shown))}"`
    })
  return `<${name}${written.join('')}>${children.join('')}</${name}>`
}

/** Text at a point. `place` is the side of the point on which it starts or ends. */
export function text(
  x: number,
  y: number,
  value: string,
  className: string,
  place: 'start' | 'middle' | 'end' = 'start',
): string {
  return element(
    'text',
    { x, y, class: className, 'text-anchor': place === 'start' ? undefined : place },
    escapeHtml(value),
  )
}

export const line = (x1: number, y1: number, x2: number, y2: number, className: string): string =>
  element('line', { x1, y1, x2, y2, class: className })

/** A drawing that shrinks with its container and is named for readers who cannot see it. */
export const drawing = (width: number, height: number, label: string, ...children: string[]): string =>
  element(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label, width, height },
    ...children,
  )

/** The text that a pointer resting on a mark shows. */
export const hint = (value: string): string => element('title', {}, escapeHtml(value))

const SERIES: Record<string, string> = {
  gatherd: 'series-gatherd',
  fastapi: 'series-fastapi',
  asgi: 'series-asgi',
  redis: 'series-redis',
  'redis-fsync': 'series-redis',
  'null-http': 'series-floor',
}

/** Class that gives marks the colour of a server: the same one in every plot. */
export const seriesClass = (targetName: string): string => SERIES[targetName] ?? 'series-other'
