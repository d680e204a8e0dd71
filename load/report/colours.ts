/** Colours of the page and of the picture: light and dark by what the reader's system prefers. */
export const COLOURS = `
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --ink: #16191d; --soft: #565f6b; --line: #dfe3e8; --grid: #e8ebef;
  --gatherd: #0a7c86; --fastapi: #d9730d; --asgi: #b08a00; --redis: #b8327a; --floor: #8b949e;
  --other: #7a52c7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1114; --card: #161b20; --ink: #e7eaee; --soft: #a0aab6; --line: #2b323a; --grid: #252c33;
    --gatherd: #2fc4cf; --fastapi: #f0994a; --asgi: #d9b73a; --redis: #ee7fb4; --floor: #7b8794;
    --other: #b195f5;
  }
}
.series-gatherd { --series: var(--gatherd) }
.series-fastapi { --series: var(--fastapi) }
.series-asgi { --series: var(--asgi) }
.series-redis { --series: var(--redis) }
.series-floor { --series: var(--floor) }
.series-other { --series: var(--other) }
`

/** Fonts that are there already: nothing is fetched. */
export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif'

/** How bars are drawn. */
export const BAR_STYLE = `
svg text { fill: var(--ink) }
.plot-heading { font-weight: 600; font-size: 12.5px }
svg .plot-tick, svg .plot-name { fill: var(--soft); font-size: 11.5px }
.plot-value { font-weight: 600 }
svg .plot-note { fill: var(--soft); font-weight: 400 }
.bar { fill: var(--series) }
`
