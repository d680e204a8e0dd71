/** Explains how the figures were measured, and their limits. */
import type { Results } from '../results.ts'
import { escapeHtml, formatBytes, formatCount } from './format.ts'
import { section } from './section.ts'
import { element } from './svg.ts'

/** The last section of the page. */
export function drawMethod({ method, versions, machine, skipped, seconds, targets }: Results): string {
  const seeds = Object.entries(method.seeds)
    .map(([name, seed]) => `${name} ${seed}`)
    .join(', ')
  const memory = targets
    .filter(({ rssPeakBytes }) => rssPeakBytes !== undefined)
    .map(({ name, rssPeakBytes }) => `${name} ${formatBytes(rssPeakBytes)}`)
    .join(', ')
  const facts = [
    [
      'Load',
      `autocannon ${versions.autocannon} in one process, closed loop: each connection sends its next ` +
        'request when the last is answered. 16 connections; 8 for 8,192 ids. Redis gets its own commands ' +
        '(RESP) from the same client.',
    ],
    [
      'Placement',
      `${method.placement}. Both share the machine of ${machine.coreCount} cores: a faster client ` +
        'would raise requests per second. “Other cores” in the table is what neither used.',
    ],
    [
      'Times',
      `${method.repeatCount} repeats, servers interleaved, of ${formatCount(method.windowSeconds)} s ` +
        `after ${formatCount(method.warmupSeconds)} s of warm-up; every figure is the median of the ` +
        `repeats. The run took ${Math.round(seconds)} s.`,
    ],
    [
      'Ids',
      `Zipf with s = ${method.zipfExponent}, the wanted rows spread over the table by a fixed ` +
        `permutation; uniform where said. Seeds: ${seeds}.`,
    ],
    [
      'Answers',
      'Compared with the uploaded rows to the bit before the run; during it every status and length is ' +
        'checked, and one wrong answer ends it.',
    ],
    ['Latency', 'Microseconds in a histogram of three digits. Fewer than 2,000 answers show no p99.9.'],
    ['CPU', 'Nanoseconds on a processor of all threads of the server and its children, from /proc.'],
    [
      'Memory',
      memory === '' ? 'Not measured.' : `Highest resident size, which holds all uploaded tables: ${memory}.`,
    ],
    [
      'Skipped',
      skipped.length === 0 ? 'Nothing.' : skipped.map(({ name, reason }) => `${name}: ${reason}`).join('; '),
    ],
  ]
  return section(
    'Method',
    'What the figures mean, and what they leave out.',
    element(
      'dl',
      { class: 'method' },
      ...facts.map(([name, value]) => element('dt', {}, name) + element('dd', {}, escapeHtml(value))),
    ),
  )
}
