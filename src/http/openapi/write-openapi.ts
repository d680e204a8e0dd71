/** Renders the committed copies of the OpenAPI document. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { readConfig } from '../../config.ts'
import { LIMITS } from '../../core/limits.ts'
import { WriterClient } from '../../writer/client.ts'
import { createLookupServices } from '../../lookup/lookup.ts'
import { buildApp } from '../app.ts'
import { createHttpContext } from '../context.ts'
import { type OpenApiDocument, toOpenApi31 } from './finish-document.ts'

/** The folder of the committed copies. */
export const DOCUMENTS_FOLDER = fileURLToPath(new URL('../../../openapi/', import.meta.url))

/**
 * Renders the documents of the routes as they are committed, by the names of their files. It needs no writer,
 * because nothing calls one.
 */
export const renderDocuments = async (): Promise<Record<string, string>> => {
  const { port1, port2 } = new MessageChannel()
  const writer = new WriterClient(port1)
  const context = createHttpContext({
    writer,
    registry: writer.registry,
    lookups: createLookupServices(null),
    staging: { directory: '', limits: LIMITS },
    health: { state: 'loading', reason: 'only the document is needed' },
    settings: { ...readConfig({}), logLevel: 'silent', fastPath: false },
  })
  const app = await buildApp(context)
  try {
    const document = app.swagger() as OpenApiDocument
    const print = (value: OpenApiDocument): string => `${JSON.stringify(value, null, 2)}\n`
    return { 'openapi.json': print(document), 'openapi-3.1.json': print(toOpenApi31(document)) }
  } finally {
    await app.close()
    writer.close()
    port2.close()
  }
}

/** `node src/http/openapi/write-openapi.ts` writes the committed copies. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(await renderDocuments()))
    writeFileSync(join(DOCUMENTS_FOLDER, name), text)
}
