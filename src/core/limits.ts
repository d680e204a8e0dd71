/** Every bound of the service, with its unit. `GET /v1/limits` shows them. Reaching one is an error with a name. */

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

export const LIMITS = {
  /** Row numbers travel as int32 with -1 for "no row". */
  tableRowsMax: 2 ** 31 - 2,
  dimMax: 65_536,
  tableCountMax: 1_000,
  tableNameLengthMax: 128,
  keepVersionsMax: 16,
  /** One shared 64-bit WebAssembly memory. */
  segmentBytesMax: 16 * GiB,
  lookupBodyBytesMax: 4 * MiB,
  lookupIndexCountMax: 65_536,
  lookupResponseBytesMax: 64 * MiB,
  lookupTableCountMax: 64,
  adapterRankMax: 256,
  /** Products of one lookup with an adapter: rows x rank x dim. */
  adaptedProductCountMax: 2 ** 33,
  attendQueryCountMax: 4_096,
  /** Numbers of all rows times queries: a minute or two of one core. */
  attendProductCountMax: 2 ** 40,
  indexRankMax: 8,
  /** Gradients have one axis more than their indices. */
  arrayRankMax: 9,
  /** A client that takes nothing of a long answer for this long is cut off. */
  responseStallMsMax: 30_000,
  /** Memory of answers that is kept for the next ones, per HTTP worker. */
  responseBytesIdleMax: 32 * MiB,
  updateBodyBytesMax: 16 * MiB,
  updateRowCountMax: 16_384,
  /** A JSON specification, `values` included. Larger tables come as npy, safetensors or raw numbers. */
  specificationBodyBytesMax: 16 * MiB,
  jsonDepthMax: 32,
  npyHeaderBytesMax: 10_000,
  safetensorsHeaderBytesMax: 1 * MiB,
  safetensorsTensorCountMax: 1_024,
  rowsPageMax: 1_000,
  tablesPageMax: 1_000,
  /** Updates that run during an export keep the old rows for it, up to this many bytes. */
  exportPreImageBytesMax: 256 * MiB,
  lookupBytesInFlightMax: 256 * MiB,
  /** Of those, what answers take that are sent from where they were gathered. */
  answerBytesInFlightMax: 64 * MiB,
  updateBytesInFlightMax: 64 * MiB,
  /** Updates that are journaled by one transaction: indices and values, and the time to compute their rows. */
  commitBatchBytesMax: 16 * MiB,
  commitBatchMsMax: 5,
  idempotencyKeyLengthMax: 128,
  idempotencyKeyCountMax: 100_000,
  aliasCountMax: 1_000,
  /** While the journal is larger, updates are refused: snapshots cannot keep up. */
  journalBytesMax: 1 * GiB,
  /** Every snapshot file is read whole and checked so often. */
  scrubEveryMs: 24 * 60 * 60 * 1_000,
  /** Of both write-ahead logs; then they are moved into their databases, about two milliseconds a MiB. */
  logBytesMax: 4 * MiB,
  /** On shutdown, snapshots are written this long at most; what is missing is in the journal. */
  shutdownSnapshotMsMax: 10_000,
  computeQueueDepthMax: 64,
  /** A reader that meets a busy row spins, then backs off, at most this long. */
  readerWaitMsMax: 20,
  urlBytesMax: 2 * KiB,
  headerBytesMax: 16 * KiB,
  headerCountMax: 100,
  connectionCountMax: 4_096,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 30_000,
  /** An upload that sends nothing for this long is given up. */
  uploadIdleMsMax: 30_000,
  /** A body may come this slowly, beside a fixed time to begin with: 512 bytes a millisecond. */
  bodyBytesPerMsMin: 512,
  /** Of a streamed body, this much is read ahead of whoever writes it. */
  bodyAheadBytesMax: 1 * MiB,
  /** After a refusal the rest of the body is read and dropped this long, so that the client gets to see the answer. */
  lingerMs: 5_000,
  errorPlacesMax: 10,
  /** Uploads in parts that are open at the same time. */
  uploadCountMax: 64,
  uploadPartCountMax: 10_000,
  uploadPartBytesMax: 1 * GiB,
  /** Parts of all uploads together, on disk. */
  uploadStagedBytesMax: 256 * GiB,
  /** Uploads leave this much of the disk alone: what keeps tables safe lives there too. */
  uploadDiskFreeBytesMin: 512 * MiB,
  /** An upload in parts without activity for this long is given up, and one that was committed is forgotten. */
  uploadAgeMsMax: 24 * 60 * 60 * 1_000,
  uploadRememberedCountMax: 1_000,
  /** A commit whose thread died keeps another one waiting this long. */
  uploadCommitLeaseMs: 15_000,
  uploadSweepMs: 10 * 60 * 1_000,
} as const
