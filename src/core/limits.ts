/**
 * Every limit of the service, with its unit in the name. `GET /v1/limits` shows them. A request that exceeds
 * one is refused with an error code of its own.
 */

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

export const LIMITS = {
  /** Row numbers travel as int32, in which -1 stands for "no row". */
  tableRowsMax: 2 ** 31 - 2,
  dimMax: 65_536,
  tableCountMax: 1_000,
  tableNameLengthMax: 128,
  /** Names of deleted tables whose highest version is remembered one by one. */
  formerTableCountMax: 1_000,
  keepVersionsMax: 16,
  /** The size of one shared 64-bit WebAssembly memory. */
  segmentBytesMax: 16 * GiB,
  lookupBodyBytesMax: 4 * MiB,
  lookupIndexCountMax: 65_536,
  lookupResponseBytesMax: 64 * MiB,
  lookupTableCountMax: 64,
  adapterRankMax: 256,
  /** Multiplications of one lookup with an adapter: rows x rank x dim. */
  adaptedProductCountMax: 2 ** 33,
  attendQueryCountMax: 4_096,
  /**
   * Multiplications of one attend request: rows x dim x queries. The largest takes one core a minute or two.
   */
  attendProductCountMax: 2 ** 40,
  indexRankMax: 8,
  /** Gradients have one axis more than their indices. */
  arrayRankMax: 9,
  /** A client that takes no byte of a waiting response for this long is disconnected. */
  responseStallMsMax: 30_000,
  /** Response memory that an HTTP worker keeps for reuse. */
  responseBytesIdleMax: 32 * MiB,
  updateBodyBytesMax: 16 * MiB,
  updateRowCountMax: 16_384,
  /**
   * The limit holds for a JSON specification with its `values`. Larger tables are uploaded as npy,
   * safetensors or raw numbers.
   */
  specificationBodyBytesMax: 16 * MiB,
  jsonDepthMax: 32,
  npyHeaderBytesMax: 10_000,
  /** The limit of the format itself. */
  safetensorsHeaderBytesMax: 100_000_000,
  /** The tensors of a file; those that are not stored are only counted and checked by their places. */
  safetensorsTensorCountMax: 262_144,
  /** The tensors of a lookup or an update, which needs all of them. */
  safetensorsRequestTensorCountMax: 1_024,
  /**
   * Headers of uploads above `headerBytesFreeMax` that an HTTP worker receives and reads at the same time.
   */
  headerBytesInFlightMax: 128 * MiB,
  headerBytesFreeMax: 1 * MiB,
  rowsPageMax: 1_000,
  tablesPageMax: 1_000,
  /** Updates that run during an export keep the rows that they overwrite, up to this many bytes. */
  exportPreImageBytesMax: 256 * MiB,
  lookupBytesInFlightMax: 256 * MiB,
  /** The share of `lookupBytesInFlightMax` for responses that are sent straight from the arena. */
  answerBytesInFlightMax: 64 * MiB,
  updateBytesInFlightMax: 64 * MiB,
  /**
   * One transaction journals updates with at most this many bytes of indices and values, and stops taking
   * more once computing their rows has taken `commitBatchMsMax`.
   */
  commitBatchBytesMax: 16 * MiB,
  commitBatchMsMax: 5,
  /**
   * Sequences of a version that are reserved on disk at a time. After a crash that took updates back, at most
   * this many are skipped.
   */
  sequencesReservedMax: 65_536,
  idempotencyKeyLengthMax: 128,
  idempotencyKeyCountMax: 100_000,
  /** Keys may be forgotten after this time, counted while the service runs. */
  idempotencyKeyAgeMsMax: 24 * 60 * 60 * 1_000,
  aliasCountMax: 1_000,
  /** Updates are refused while the journal is larger than this, because snapshots cannot keep up. */
  journalBytesMax: 1 * GiB,
  /** The scrubber reads and checks every snapshot file once in this period. */
  scrubEveryMs: 24 * 60 * 60 * 1_000,
  /**
   * When both write-ahead logs together are larger, they are checkpointed into their databases, which takes
   * about 2 ms a MiB.
   */
  logBytesMax: 4 * MiB,
  /**
   * With no table left, a database with at least `storeFreeBytesMin` of empty pages is written anew, unless
   * more than `storeVacuumBytesMax` of it is in use, since the next upload waits for that.
   */
  storeFreeBytesMin: 1 * MiB,
  storeVacuumBytesMax: 32 * MiB,
  /** Space of the disk that is kept for deletions, so that they succeed on a full disk and free more. */
  diskReserveBytes: 512 * KiB,
  /** A shutdown writes snapshots for this long at most. The journal holds whatever they miss. */
  shutdownSnapshotMsMax: 10_000,
  computeQueueDepthMax: 64,
  /** A reader that finds a row locked spins, then backs off, for at most this long. */
  readerWaitMsMax: 20,
  urlBytesMax: 2 * KiB,
  headerBytesMax: 16 * KiB,
  headerCountMax: 100,
  connectionCountMax: 4_096,
  /** File descriptors that connections leave to the service itself, and to each of its threads. */
  descriptorsKept: 64,
  descriptorsKeptPerThread: 16,
  headersTimeoutMs: 10_000,
  /** A body of which nothing arrives for this long is refused. */
  uploadIdleMsMax: 30_000,
  /** How far a streamed body is read ahead of its consumer. */
  bodyAheadBytesMax: 1 * MiB,
  /** A connection that the service has ended waits this long for its client to end it too. */
  lingerMs: 5_000,
  /**
   * After a refusal, up to this much of the body is read and dropped, so that its sender comes to read the
   * response.
   */
  lingerBytesMax: 16 * GiB,
  errorPlacesMax: 10,
  /** The number of multipart uploads that may be open at the same time. */
  uploadCountMax: 64,
  /** Those of one table. */
  uploadTableCountMax: 16,
  /** When there are too many, the oldest upload without activity for this long gives way to a new one. */
  uploadYieldMsMin: 60 * 60 * 1_000,
  uploadPartCountMax: 10_000,
  uploadPartBytesMax: 1 * GiB,
  /** The parts of all uploads together, on disk. */
  uploadStagedBytesMax: 256 * GiB,
  /** Uploads leave this much of the disk free, because the journal and the snapshots need it too. */
  uploadDiskFreeBytesMin: 512 * MiB,
  /** A multipart upload without activity for this long is aborted. */
  uploadAgeMsMax: 6 * 60 * 60 * 1_000,
  /** Time before the start of the service makes an upload older by this much at most. */
  uploadAgeBeforeStartMsMax: 60 * 60 * 1_000,
  /** A committed upload is forgotten after this time. */
  uploadRememberedMsMax: 24 * 60 * 60 * 1_000,
  uploadRememberedCountMax: 1_000,
  /** A commit whose thread died blocks the next commit of the same upload for this long. */
  uploadCommitLeaseMs: 15_000,
  uploadSweepMs: 10 * 60 * 1_000,
} as const
