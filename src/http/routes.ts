import type { App, HttpContext } from './context.ts'
import { addAliasRoutes } from './routes/aliases.ts'
import { addAttendRoute } from './routes/attend.ts'
import { addDocsRoutes, addDocument } from './routes/docs.ts'
import { addHealthRoutes } from './routes/health.ts'
import { addLimitsRoute } from './routes/limits.ts'
import { addMultiLookupRoute } from './routes/multi-lookup.ts'
import { addLookupRoute } from './routes/lookup.ts'
import { addLoraRoutes } from './routes/lora.ts'
import { addSnapshotsRoute } from './routes/snapshots.ts'
import { addTableDataRoutes } from './routes/table-data.ts'
import { addTableUploadRoute } from './routes/table-upload.ts'
import { addTableRoutes } from './routes/tables.ts'
import { addUpdateRoutes } from './routes/updates.ts'
import { addUploadRoutes } from './routes/uploads.ts'
import { addVersionRoutes } from './routes/versions.ts'

/** Every route, in the order of the document. */
export const registerRoutes = async (app: App, context: HttpContext): Promise<void> => {
  await addDocument(app)
  addTableUploadRoute(app, context)
  addTableRoutes(app, context)
  addTableDataRoutes(app, context)
  addUploadRoutes(app, context)
  addVersionRoutes(app, context)
  addAliasRoutes(app, context)
  addLookupRoute(app, context)
  addMultiLookupRoute(app, context)
  addAttendRoute(app, context)
  addUpdateRoutes(app, context)
  addLoraRoutes(app, context)
  addSnapshotsRoute(app, context)
  addLimitsRoute(app)
  addHealthRoutes(app, context)
  await addDocsRoutes(app, context)
}
