/** The frame that all parts of the page share. */
import type { Results } from '../results.ts'
import { escapeHtml } from './format.ts'
import { element, seriesClass } from './svg.ts'

/** A titled part of the page. */
export const section = (title: string, explanation: string, ...content: string[]): string =>
  element(
    'section',
    {},
    element('h2', {}, escapeHtml(title)),
    element('p', {}, escapeHtml(explanation)),
    ...content,
  )

/** The servers, with the colours that they have in every plot. */
export const drawLegend = ({ targets }: Results): string =>
  element(
    'ul',
    { class: 'legend' },
    ...targets.map(({ name, note }) =>
      element(
        'li',
        { class: seriesClass(name) },
        element('i', {}),
        `${element('strong', {}, escapeHtml(name))} ${escapeHtml(note)}`,
      ),
    ),
  )
