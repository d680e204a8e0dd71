/** Fits Swagger UI at `/docs` to narrow screens, on which it would cut code and run out of the page. */

/** Swagger UI shows a column for links between operations, of which the document has none. */
const STYLE = `
.swagger-ui .response-col_links { display: none }
.swagger-ui .markdown pre, .swagger-ui .opblock-body pre.microlight, .swagger-ui .curl,
.swagger-ui .curl code, .swagger-ui .request-url pre { white-space: pre-wrap !important; overflow-wrap: anywhere; word-break: normal }
.swagger-ui select { max-width: 100% }
@media (max-width: 640px) {
  .swagger-ui .wrapper { padding: 0 .75rem }
  .swagger-ui .scheme-container { margin: 0; padding: 1rem 0 }
  .swagger-ui .info { margin: 1.5rem 0; overflow-wrap: anywhere }
  .swagger-ui .opblock-tag { flex-wrap: wrap; font-size: 1.2rem; padding: .6rem 0 }
  .swagger-ui .opblock-tag small { padding: 0 0 0 .6rem }
  .swagger-ui .opblock .opblock-summary-path { max-width: none; overflow-wrap: anywhere }
  .swagger-ui .opblock-description-wrapper, .swagger-ui .responses-inner,
  .swagger-ui .opblock-section .table-container { padding: .75rem }
  .swagger-ui .opblock-section-header { padding: .5rem .75rem; flex-wrap: wrap; gap: .5rem }
  .swagger-ui .opblock-section-header > label { margin: 0; max-width: 100% }
  .swagger-ui table.parameters thead, .swagger-ui table.responses-table > thead { display: none }
  .swagger-ui table.parameters, .swagger-ui table.parameters tbody, .swagger-ui table.parameters tr,
  .swagger-ui table.parameters td, .swagger-ui table.responses-table, .swagger-ui table.responses-table > tbody,
  .swagger-ui table.responses-table > tbody > tr, .swagger-ui table.responses-table > tbody > tr > td
    { display: block; width: auto; max-width: none; min-width: 0; padding: .15rem 0 }
  .swagger-ui table.parameters tr, .swagger-ui table.responses-table > tbody > tr { padding-bottom: .8rem }
  .swagger-ui table.headers td { padding: .2rem .4rem .2rem 0; overflow-wrap: break-word }
  .swagger-ui .parameters-col_description input, .swagger-ui .parameters-col_description select,
  .swagger-ui textarea, .swagger-ui .content-type { width: 100%; max-width: none; min-width: 0 }
  .swagger-ui .btn-group, .swagger-ui .execute-wrapper { padding: .5rem .75rem }
  .swagger-ui .response-col_description__inner pre { overflow-wrap: anywhere }
  .swagger-ui .responses-table .highlight-code { display: flex; flex-direction: column }
  .swagger-ui .download-contents, .swagger-ui .highlight-code .copy-to-clipboard
    { position: static; align-self: flex-end; margin-top: .4rem }
}
`

/** The page of Swagger UI lacks this tag, without which phones lay it out for a width of 980 pixels. */
const SCRIPT = `
const viewport = document.createElement('meta')
viewport.name = 'viewport'
viewport.content = 'width=device-width, initial-scale=1'
document.head.append(viewport)
`

/** The theme of Swagger UI, in the terms of @fastify/swagger-ui. */
export const DOCS_THEME = {
  title: 'gatherd API',
  css: [{ filename: 'narrow.css', content: STYLE }],
  js: [{ filename: 'viewport.js', content: SCRIPT }],
}
