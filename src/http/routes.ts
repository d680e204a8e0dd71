/** Lists the routes of the API, and registers them. */
import { addDocsRoutes, addDocument } from './routes/docs.ts'
import { aliasRoutes } from './routes/aliases.ts'
import { attendRoute } from './routes/attend.ts'
import { lookupRoute } from './routes/lookup.ts'
import { loraRoutes } from './routes/lora.ts'
import { multiLookupRoute } from './routes/multi-lookup.ts'
import { operationRoutes } from './routes/operations.ts'
import { tableDataRoutes } from './routes/table-data.ts'
import { tableUploadRoute } from './routes/table-upload.ts'
import { tableRoutes } from './routes/tables.ts'
import { updateRoutes } from './routes/updates.ts'
import { uploadRoutes } from './routes/uploads.ts'
import { versionRoutes } from './routes/versions.ts'
import type { App, HttpContext } from './context.ts'
import type { Route } from './define-route.ts'
import { registerRoute } from './register-route.ts'

/** Every route of the API, in the order of the document. */
export const ROUTES: readonly Route[] = [
  tableUploadRoute,
  ...tableRoutes,
  ...tableDataRoutes,
  ...uploadRoutes,
  ...versionRoutes,
  ...aliasRoutes,
  lookupRoute,
  multiLookupRoute,
  attendRoute,
  ...updateRoutes,
  ...loraRoutes,
  ...operationRoutes,
]

/** Adds every route, and the document that is made of them. */
export const registerRoutes = async (app: App, context: HttpContext): Promise<void> => {
  await addDocument(app)
  for (const route of ROUTES) registerRoute(app, context, route)
  await addDocsRoutes(app, context)
}
