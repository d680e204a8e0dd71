/** Renders the committed copy of the OpenAPI document. */
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { LIMITS } from '../../core/limits.ts'
import { WriterClient } from '../../writer/client.ts'
import { createLookupServices } from '../../lookup/lookup.ts'
import { buildApp } from '../app.ts'
import { createHttpContext } from '../context.ts'

/** The path of the committed copy of the document. */
export const DOCUMENT_PATH = fileURLToPath(new URL('../../../openapi/openapi.json', import.meta.url))

/** Renders the document of the routes as it is committed. It needs no writer, because nothing calls one. */
export const renderDocument = async (): Promise<string> => {
  const { port1, port2 } = new MessageChannel()
  const writer = new WriterClient(port1)
  const context = createHttpContext({
    writer,
    registry: writer.registry,
    lookups: createLookupServices(null),
    staging: { directory: '', limits: LIMITS },
    health: { state: 'loading', reason: 'only the document is needed' },
    settings: { logLevel: 'silent', fastPath: false, keepAliveMs: 75_000, bodyBytesPerSecondMin: 0 },
  })
  const app = await buildApp(context)
  try {
    return `${JSON.stringify(app.swagger(), null, 2)}\n`
  } finally {
    await app.close()
    writer.close()
    port2.close()
  }
}

/** `node src/http/openapi/write-openapi.ts [--write]`: prints the document, or writes the committed copy. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const document = await renderDocument()
  if (process.argv.includes('--write')) writeFileSync(DOCUMENT_PATH, document)
  else process.stdout.write(document)
}
