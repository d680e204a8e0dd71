import { execFileSync } from 'node:child_process'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERRORS, type ErrorCode } from '../../../src/core/errors.ts'
import { escapeHtml, REMEDIES, renderServicePage } from '../../../src/http/answer/pages.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { commandOf, has, needs, runsLong } from '../../skips.ts'

let service: Service
let address: string
beforeAll(async () => {
  service = await startService()
  address = await service.listen()
})
afterAll(() => service.close())

const get = (url: string, accept?: string) =>
  service.app.inject({ url, headers: accept === undefined ? {} : { accept } })

describe('GET /', () => {
  test('is JSON for programs', async () => {
    for (const accept of [undefined, '*/*', 'application/json', 'application/json, text/plain, */*']) {
      const response = await get('/', accept)
      expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
      expect(response.json()).toMatchObject({
        name: 'gatherd',
        version: /^\d+\.\d+\.\d+/.exec(response.json().version)?.[0],
        ready: true,
      })
    }
  })

  test('links to existing pages', async () => {
    for (const url of Object.values((await get('/')).json().links as Record<string, string>))
      expect((await get(url)).statusCode, url).toBe(200)
  })

  test('is a page with the list of tables for browsers', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/words', payload: { rows: 1000, dim: 16 } })
    const response = await get('/', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8')
    expect(response.headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', vary: 'accept' })
    expect(response.body).toContain('href="/v1/tables/words"')
    expect(response.body).toContain('62.5 KiB')
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/words' })
    expect((await get('/', 'text/html')).body).toContain('There are none yet')
  })

  test('begins with the example table of the document, at the address that it is read at', async () => {
    const url = '/v1/tables/{table}'
    const headers = { accept: 'text/html', host: 'tables.example:9000' }
    const { body } = await service.app.inject({ url: '/', headers })
    expect([...new Set(body.match(/https?:\/\/[^/\s]+/g))]).toEqual(['http://tables.example:9000'])
    const [, name, json] = /\/v1\/tables\/(\w+) .*?-d '([^']+)'/s.exec(body) ?? []
    const { paths } = (await get('/openapi.json')).json()
    const examples = paths[url].put.requestBody.content['application/json'].examples
    expect(paths[url].put.parameters.find((one: { name: string }) => one.name === 'table').example).toBe(name)
    expect(examples.example1.value.values).toEqual(JSON.parse(json).values)
  })

  test('escapes markup in texts of clients', () => {
    expect(escapeHtml(`<a href="x" title='y'>&`)).toBe('&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;')
    const page = renderServicePage({
      version: '1',
      address: 'http://<script>',
      state: '<b>',
      tables: [],
      tableCount: 0,
    })
    expect(page).not.toContain('<script>')
    expect(page).not.toContain('<b>')
  })
})

describe('the page of errors', () => {
  test('explains every code at the URL in the `type` of a problem', async () => {
    const { body, headers } = await get('/docs/errors')
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    for (const [code, { status, title }] of Object.entries(ERRORS)) {
      const row = new RegExp(`<tr id="${code}">.*?</tr>`, 's').exec(body)?.[0] ?? ''
      expect(row, code).toMatch(new RegExp(`<td [^>]*data-name="Status"><div>${status}</div></td>`))
      expect(row, code).toContain(`<div>${title}.</div>`)
      expect(row, code).toContain(REMEDIES[code as ErrorCode])
    }
    const { type, code } = (await get('/v1/tables/none')).json()
    expect(type).toBe(`/docs/errors#${code}`)
  })
})

test('A missing file is a 404 with a problem', async () => {
  const response = await get('/docs/static/none.js')
  expect([response.statusCode, response.json().code]).toEqual([404, 'ROUTE_NOT_FOUND'])
  expect((await get('/docs/static/..%2f..%2findex.js')).statusCode).toBeGreaterThanOrEqual(400)
})

describe('security headers', () => {
  test('are all set on pages', async () => {
    for (const url of ['/', '/docs', '/docs/errors']) {
      const { headers } = await get(url, 'text/html')
      expect(headers['content-security-policy'], url).toContain("default-src 'self'")
      expect(headers['content-security-policy'], url).toContain("frame-ancestors 'none'")
      expect(headers['x-content-type-options'], url).toBe('nosniff')
      expect(headers['strict-transport-security'], url).toBeUndefined()
    }
  })

  test('are limited to nosniff on the routes of tables', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1]] } })
    const { headers } = await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/lookup',
      payload: { indices: [0] },
    })
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(
      Object.keys(headers).filter((name) => /^(content-security|cross-origin|x-frame|referrer)/.test(name)),
    ).toEqual([])
  })
})

const launchBrowser = (): Promise<Browser> => {
  const executablePath = execFileSync('sh', ['-c', `command -v ${commandOf('chromium')}`], {
    encoding: 'utf8',
  }).trim()
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  return chromium.launch({ executablePath, args })
}

/**
 * Runs in a page: lists what is cut or lies outside of it, by tag and class. What scrolls on its own is cut,
 * too.
 */
const FIND_OVERFLOW = `(() => {
  const { clientWidth, scrollWidth } = document.documentElement
  const outside = [...document.querySelectorAll('body *')].filter((element) => {
    const { right, left, width } = element.getBoundingClientRect()
    return width > 0 && (right > clientWidth + 1 || left < -1)
  })
  const cut = [...document.querySelectorAll('pre, code, button, .btn, td, th')].filter(
    (element) => element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1,
  )
  const names = [...outside, ...cut].map(({ tagName, className }) => tagName + ' ' + className)
  return scrollWidth > clientWidth ? ['the page is ' + scrollWidth + ' pixels wide', ...names] : names
})()`

let browser: Browser
beforeAll(async () => {
  if (has('chromium')) browser = await launchBrowser()
}, 240_000)
afterAll(() => browser?.close())

describe.skipIf(!needs('chromium'))('On a screen of 390 pixels', () => {
  beforeAll(async () => {
    const name = `a-long-name.of_a-table${'-that-goes-on'.repeat(4)}`
    for (const table of [name, 'words'])
      await service.app.inject({ method: 'PUT', url: `/v1/tables/${table}`, payload: { rows: 4, dim: 3 } })
  })

  test.each(runsLong('a narrow window') ? [true, false] : [true])(
    'no page is cut or scrolls sideways (a phone: %s)',
    async (isMobile) => {
      const page = await browser.newPage({
        viewport: { width: 390, height: 844 },
        isMobile,
        hasTouch: isMobile,
      })
      for (const path of ['/', '/docs/errors']) {
        await page.goto(`${address}${path}`)
        expect(await page.evaluate(FIND_OVERFLOW), path).toEqual([])
      }
      await page.goto(`${address}/docs`)
      await page.waitForSelector('.opblock')
      expect(await page.evaluate('document.documentElement.clientWidth')).toBe(390)
      const lookup = page.locator('.opblock-post', { has: page.locator('[data-path$="{table}/lookup"]') })
      await lookup.locator('.opblock-summary-control').click()
      await lookup.locator('.execute').click()
      await lookup.locator('.live-responses-table').waitFor()
      expect(await page.evaluate(FIND_OVERFLOW)).toEqual([])
      await page.close()
    },
    60_000,
  )
})

describe.skipIf(!needs('chromium'))('Swagger UI in a browser', () => {
  let page: Page
  const complaints: string[] = []
  beforeAll(async () => {
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/words' })
    page = await browser.newPage({ viewport: { width: 1200, height: 1600 } })
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('requestfailed', (request) => complaints.push(request.url()))
    await page.goto(`${address}/docs`)
    await page.waitForSelector('.opblock')
  }, 240_000)

  const operation = (method: string, path: string) =>
    page
      .locator('.opblock', { has: page.locator(`.opblock-summary-method:text-is("${method}")`) })
      .filter({ has: page.locator(`[data-path="${path}"]`) })

  /** Opens an operation, executes its example, and returns the status of the answer. */
  const tryOut = async (method: string, path: string): Promise<string> => {
    const block = operation(method, path)
    await block.locator('.opblock-summary-control').click()
    await block.locator('.execute').click()
    const status = block.locator('.live-responses-table .response-col_status').nth(1)
    await status.waitFor()
    return ((await status.textContent()) ?? '').trim().slice(0, 3)
  }

  test('shows every operation, QUERY included, without an error', async () => {
    expect(await page.locator('.info .title').first().textContent()).toContain('gatherd')
    expect(await operation('PUT', '/v1/tables/{table}').count()).toBe(1)
    expect(await operation('POST', '/v1/tables/{table}/lookup').count()).toBe(1)
    expect(await operation('QUERY', '/v1/tables/{table}/lookup').count()).toBe(1)
    expect(await page.locator('.errors-wrapper, .version-pragma').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  const readTable = async () => (await service.app.inject({ url: '/v1/tables/words' })).json()

  test('runs the example that creates a table', async () => {
    expect(await tryOut('PUT', '/v1/tables/{table}')).toBe('201')
    expect(await readTable()).toMatchObject({ rows: 4, dim: 3, sequence: 0 })
    expect(complaints).toEqual([])
  })

  // Each operation that is opened costs the page two seconds of processor time.
  test.skipIf(!runsLong('more examples in a browser'))(
    'runs the examples that look rows up and push a gradient',
    async () => {
      expect(await tryOut('POST', '/v1/tables/{table}/lookup')).toBe('200')
      expect(await tryOut('POST', '/v1/tables/{table}/gradients')).toBe('200')
      expect(await readTable()).toMatchObject({ rows: 4, dim: 3, sequence: 1 })
      expect(complaints).toEqual([])
    },
  )
})
