/**
 * The picture of the README: the cost of a request on each server as one SVG file, and the words under it.
 */
import type { Results, ScenarioResult } from '../results.ts'
import { type Bar, drawBars } from './bars.ts'
import { BAR_STYLE, COLOURS, FONT } from './colours.ts'
import { formatBytes, formatCount, formatUs } from './format.ts'
import { drawing, element, text } from './svg.ts'
import { listVersions } from './versions.ts'

/** In the order of the picture, three in a line. */
const SHOWN = [
  { id: 'lookup-binary-d16-n8-zipf-c16', heading: 'Lookup, 8 rows of 16' },
  { id: 'lookup-binary-d16-n1024-zipf-c16', heading: 'Lookup, 1,024 rows of 16' },
  { id: 'lookup-binary-d64-n1024-zipf-c16', heading: 'Lookup, 1,024 rows of 64' },
  { id: 'lookup-json-d64-n64-zipf-c16', heading: 'Lookup in JSON, 64 rows of 64' },
  { id: 'gradients-safetensors-d64-n1024-zipf-c16', heading: 'Gradients, 1,024 rows of 64' },
  { id: 'gradients-safetensors-d64-n64-zipf-c16-disk', heading: 'Gradients on disk, 64 rows of 64' },
]

const COLUMN_COUNT = 3
const WIDTHS = { panel: 272, name: 74, value: 104 }
const GAP = 28
const MARGIN = 24
const TITLE_HEIGHT = 84
const PANEL_HEIGHT = 140
const LINE_LENGTH_MAX = 110

/** Keeps the medians of the scenarios that the picture shows. Throws when it would be empty. */
export function takePictured(results: Results): Results {
  const shown = SHOWN.flatMap(({ id }) => results.scenarios.filter((scenario) => scenario.id === id))
  const scenarios = shown.map((scenario) => {
    const measured = Object.entries(scenario.measured).map(([name, { median }]) => [
      name,
      { median, runs: [] },
    ])
    return { ...scenario, measured: Object.fromEntries(measured) as ScenarioResult['measured'] }
  })
  if (scenarios.every(({ measured }) => barsOf(measured).length === 0))
    throw new Error('no figure of the picture was measured')
  return {
    ...results,
    targets: results.targets.map((target) => ({ ...target, uploads: [] })),
    scenarios,
    openLoop: [],
  }
}

/** A whole SVG file, light or dark as the reader's system is. */
export function drawPicture({ scenarios }: Results): string {
  const panels = SHOWN.flatMap(({ id, heading }) => {
    const bars = barsOf(scenarios.find((scenario) => scenario.id === id)?.measured ?? {})
    return bars.length === 0 ? [] : [{ heading, bars }]
  })
  const width = 2 * MARGIN + COLUMN_COUNT * WIDTHS.panel + (COLUMN_COUNT - 1) * GAP
  const height = TITLE_HEIGHT + Math.ceil(panels.length / COLUMN_COUNT) * PANEL_HEIGHT + MARGIN
  const drawn = panels.map(({ heading, bars }, index) => {
    const x = MARGIN + (index % COLUMN_COUNT) * (WIDTHS.panel + GAP)
    const y = TITLE_HEIGHT + Math.floor(index / COLUMN_COUNT) * PANEL_HEIGHT
    return element('g', { transform: `translate(${x} ${y})` }, drawBars(heading, bars, WIDTHS))
  })
  const style =
    `${COLOURS}${BAR_STYLE}svg { font: 12px ${FONT} } .title { font-size: 17px; ` +
    'font-weight: 650 } .under { fill: var(--card); stroke: var(--line) }'
  const picture = drawing(
    width,
    height,
    'Server CPU per request of gatherd and others',
    element('style', {}, style),
    element('rect', { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 10, class: 'under' }),
    text(MARGIN, 36, 'Server CPU per request', 'title'),
    text(MARGIN, 56, 'Shorter is better. Behind each time: how many times that of gatherd.', 'plot-note'),
    ...drawn,
  )
  return `${picture.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"')}\n`
}

function barsOf(measured: ScenarioResult['measured']): Bar[] {
  const own = measured.gatherd?.median.serverCpuPerRequestUs
  return Object.entries(measured).flatMap(([name, { median }]) => {
    const value = median.serverCpuPerRequestUs
    if (value === undefined) return []
    const note =
      own === undefined || name === 'gatherd'
        ? undefined
        : `${formatCount(Number((value / own).toPrecision(2)))}×`
    return [{ name, value, label: formatUs(value), note, detail: `${formatUs(value)} a request` }]
  })
}

/** The words under the picture: machine, versions and method, as one paragraph of Markdown. */
export function describePicture(results: Results): string {
  const { machine, method, commit, madeAt } = results
  const sentences = [
    `Medians of ${method.repeatCount} interleaved repeats of ${formatCount(method.windowSeconds)} s in ` +
      `one run of \`npm run load\` on ${madeAt.slice(0, 10)}.`,
    `Machine: ${machine.cpu}, ${machine.coreCount} cores, ${formatBytes(machine.memoryBytes)}, ` +
      `${machine.kernel}.`,
    `Versions: ${listVersions(results)}${commit === '' ? '' : `; commit ${commit}`}.`,
    `Tables of ${formatCount(method.rowCount)} rows of float32, Zipf ids (s = ${method.zipfExponent}), ` +
      '16 connections that each wait for their answer.',
    `${method.placement}.`,
    'CPU is that of all threads of a server. Every server has answered the uploaded rows to the bit ' +
      'before it was measured; `null-http` answers as many bytes and looks nothing up.',
  ]
  return wrap(sentences.join(' ').replaceAll('\u2009', ' '))
}

/** Replaces the paragraph under the picture in a page; a page without the picture stays as it is. */
export function replaceWords(page: string, picturePath: string, words: string): string {
  const picture = page.indexOf(`](${picturePath})\n\n`)
  if (picture < 0) return page
  const start = page.indexOf('\n\n', picture) + 2
  const end = page.indexOf('\n\n', start)
  return `${page.slice(0, start)}${words}${end < 0 ? '\n' : page.slice(end)}`
}

function wrap(words: string): string {
  const lines = ['']
  for (const word of words.split(' ')) {
    const line = lines[lines.length - 1]
    if (line.length + 1 + word.length > LINE_LENGTH_MAX) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines.join('\n')
}
