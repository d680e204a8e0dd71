/** The style of the page: nothing is fetched. */
import { BAR_STYLE, COLOURS, FONT } from './colours.ts'

export const STYLE = `${COLOURS}${BAR_STYLE}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 ${FONT};
  font-variant-numeric: tabular-nums }
main { max-width: 1240px; margin: 0 auto; padding: 44px 28px 72px }
h1 { margin: 0; font-size: 32px; line-height: 1.2; letter-spacing: -0.02em; font-weight: 680;
  text-wrap: balance }
h2 { margin: 0; font-size: 20px; letter-spacing: -0.01em; font-weight: 650 }
h3 { margin: 22px 0 10px; font-size: 14px; font-weight: 600 }
p { margin: 6px 0 0; max-width: 78ch; color: var(--soft) }
.about { display: flex; flex-wrap: wrap; gap: 14px 36px; margin: 24px 0 0 }
.about dt { color: var(--soft); font-size: 12.5px }
.about dd { margin: 1px 0 0; font-weight: 550 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 14px;
  margin: 30px 0 0 }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px 15px }
.figure b { display: block; font-size: 30px; line-height: 1.15; letter-spacing: -0.02em;
  font-weight: 680; color: var(--gatherd) }
.figure span { display: block; margin-top: 4px }
.figure small { display: block; margin-top: 2px; font-size: 13px; color: var(--soft) }
section { margin-top: 26px; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px 24px }
.groups { display: flex; flex-wrap: wrap; gap: 0 24px }
.panels { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 16px 24px }

.wide { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr));
  gap: 8px 44px; align-items: start }
.plots { display: flex; flex-wrap: wrap; gap: 24px 32px; margin-top: 18px }
.plots svg { flex: 0 1 auto }
svg { display: block; max-width: 100%; height: auto; font-size: 12px; overflow: visible }
svg.key { margin: 16px 0 2px }
.open { margin-top: 14px }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 12px 0 0; padding: 0; list-style: none;
  font-size: 13.5px }
.legend i, .server i { display: inline-block; width: 10px; height: 10px; margin-right: 7px;
  border-radius: 2px; background: var(--series) }
.plot-label { font-size: 12px }
svg .plot-name-series { fill: var(--series); font-weight: 600 }
.grid { stroke: var(--grid); stroke-width: 1 }
.range { stroke: var(--series); stroke-width: 4 }
.whisker { stroke: var(--series); stroke-width: 1.2; opacity: 0.75 }
.bound { stroke: var(--series); stroke-width: 2 }
.dot { fill: var(--series) }
.hole { fill: var(--card) }
.ring { fill: var(--card); stroke: var(--series); stroke-width: 1.6 }
.target { fill: transparent }
.curve { fill: none; stroke: var(--series); stroke-width: 2.2; stroke-linejoin: round }
.dashed .curve { stroke-dasharray: 6 4 }
.point { fill: var(--series); stroke: var(--card); stroke-width: 1.4 }
.dashed .point { fill: var(--card); stroke: var(--series); stroke-width: 1.8 }
.scroll { overflow: auto; max-height: 620px; margin-top: 16px; border: 1px solid var(--line);
  border-radius: 8px }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 12px; white-space: nowrap }
th, td { padding: 4px 8px; text-align: right }
th { font-weight: 500; text-align: left }
thead th { position: sticky; top: 0; z-index: 1; background: var(--card);
  border-bottom: 1px solid var(--line); color: var(--soft); text-align: right; white-space: normal;
  vertical-align: bottom }
thead th:nth-child(-n+2), td.server { text-align: left }
tbody th { vertical-align: top; white-space: normal; overflow-wrap: anywhere; min-width: 180px }
tr.first > * { border-top: 1px solid var(--grid) }
tbody tr:first-child > * { border-top: 0 }
.method { display: grid; grid-template-columns: max-content 1fr; gap: 8px 24px; margin: 14px 0 0 }
.method dt { color: var(--soft) }
.method dd { margin: 0; max-width: 82ch }
@media (max-width: 640px) {
  main { padding: 28px 14px 48px }
  section { padding: 18px 14px }
  .method { grid-template-columns: 1fr; gap: 0 }
  .method dd { margin-bottom: 10px }
}
@media print { .scroll { max-height: none; overflow: visible } section { break-inside: avoid } }
`
