/** The rule that names which were replaced do not come back. */
import type { Violations } from './rules.ts'
import type { TextFile } from './text.ts'

/** A name that this code base has replaced. */
export interface OldName {
  /** Matches a use of the name within a line. */
  old: RegExp
  /** The name that replaced it. */
  now: string
  /** Files where the same word means something else. */
  except?: RegExp
}

const SIMD_AND_CHARTS = /^src\/kernels\/|^test\/kernels\/|^load\/(report|bench)\//

/**
 * Replaced names of threads, rooms, settings, types and functions. The pattern of an everyday word includes
 * the context that makes it a name.
 */
export const OLD_NAMES: readonly OldName[] = [
  { old: /keeper/i, now: 'writer' },
  {
    old: /\bfronts\b|GATHERD_FRONTS|[Ff]ront[-_]?[Gg]roup|\bfrontCount\b|\bFronts?[A-Z]\w+/,
    now: 'HTTP worker',
  },
  {
    old: /\b[Aa] (\w+ )?front\b(?! (of|end|page))|\b([Tt]he|its|[Ee]very|[Ee]ach) front\b(?! (of|end|page))/,
    now: 'HTTP worker',
  },
  { old: /gatherers?\b|GATHERD_GATHERERS|gathererCount|\bgatherQueueDepthMax\b/i, now: 'compute worker' },
  { old: /\blanes?\b/i, now: 'fast path', except: SIMD_AND_CHARTS },
  { old: /\bLane[A-Z]\w*|[a-z]Lane\b|GATHERD_LANE|\bLANE_[A-Z]+/, now: 'fast path', except: SIMD_AND_CHARTS },
  {
    old: /\bturn(Bytes|Ms)Max\b|\bUpdateTurns\b|\bmakeTurns\b|\bTurns?Parts\b|\bwriter\/turns\b/,
    now: 'group commit',
  },
  { old: /\bSealedFacts\b|\bSEAL_SCHEMA\b|\b(un)?seal(s|ed|ing)?\b/i, now: 'superblock' },
  { old: /\bsync[- ]?marks?\b|SyncMark/i, now: 'synced watermark' },
  { old: /\bScrubbing(Parts)?\b(?! (of|the|a) )/, now: 'Scrubber' },
  { old: /\bForgetting\b|\bforgetting\.ts\b/, now: 'Cleanup' },
  { old: /\bcoveredThrough\b/, now: 'durableSequence' },
  { old: /\bjournalHolders?\b/, now: 'journalPins' },
  {
    old: /\b(Keeper|Fronts|Turns?|Snapshots|Scrubbing|Store|Load|Recover)Parts\b/,
    now: 'a type that ends in Dependencies',
  },
  { old: /\bOpened(Keeper|Store|Storage)?\b(?= [|&=]|>|\[\]|\))/, now: 'OpenStorage, OpenWriter' },
  { old: /\b\w*Desk\b|\bdesks?\b/, now: 'UpdateWorkspace' },
  { old: /\bScratch(es)?\b(?=[>,;[(]| =| \{)|\breserveScratch\b/, now: 'PostImages' },
  { old: /\w*[Ii]nbox(es)?\b|\bInbox\w+/, now: 'UpdateSource' },
  { old: /\bMailedUpdate\b|\bUpdateMail\b/, now: 'UpdateRef, UpdateMessage' },
  {
    old: /\bletGo\b|\b(hold|held)(Body|Update|Lookup|State)\b|\bHeld(Body|Update)\b/,
    now: 'pin and unpin, reserve and release',
  },
  { old: /\bleave(State|With)\b|\b[Kk]eyClaims?\b/, now: 'releaseState, demoteWith, KeyReservation' },
  { old: /\bleaveToCollector\b/, now: 'releaseToCollector' },
  { old: /\bTableRecord\b/, now: 'TableHandle' },
  {
    old: /\bversion: (Table(Reader|Writer)|VersionModel|CatalogVersion)\b/,
    now: 'reader, table, model or versionRow: a version is a number',
  },
  { old: /\bcall\('(begin|commit|abort)'/, now: 'beginBuild, commitBuild, abortBuild' },
  { old: /\b(encode|print)?Found\b(?=[>,;[(]| =| \{| \|)/, now: 'ScanResult' },
  { old: /\bGathered\b(?=[>,;[(]| =| \{| \|)/, now: 'GatherResult' },
  {
    old: /[Ll]ookup-?[Mm]any|\bMany(Request|Answer)\b/,
    now: 'multi-lookup',
  },
  { old: /\bwriteFormless\b|\bformless\b/, now: 'print-slow-path' },
  {
    old: /\bshortenSlices\b|\bwatchDeadline\b|\bexplainMismatch\b/,
    now: 'requestShortTimeSlices, watchStall, explainSchemaError',
  },
  { old: /\bAskedUpdate\b/, now: 'ParsedUpdate' },
  { old: /\bTAKEN\b/, now: 'ACCEPTED' },
  { old: /\bRepeats\b(?=[>,;[(]| =| \{)/, now: 'PreparedByTable', except: /^load\// },
  { old: /\bjudge(Snapshot|Journal)?\(/, now: 'classify' },
  { old: /\bsettle\(/, now: 'whenIdle', except: /^(src|test)\/http\/|^load\// },
  { old: /\bpreimages?\b|\bPreimages?\b|\w+Preimages?\b/, now: 'pre-images' },
]

/** The earlier paths of files that were renamed. */
export const OLD_PATHS: readonly RegExp[] = [
  /keeper|\bfront(-group|s)?\.|gatherer|inbox|\blane\b|lookup-many|preimages|formless/,
  /\/(turns|seal|sync-mark|desk|scratch|scrubbing|forgetting|keyclaim)\.(test\.)?ts$/,
  /^src\/lookup\/(many|pool|stored)\.ts$|^src\/(writer|storage)\/(stored|tables)\.ts$/,
  /^src\/kernels\/(index|json|numbers)\.ts$|^src\/kernels\/wasm\/(json|numbers|inside|top)\.as\.ts$/,
  /^src\/(tables|upload|http)\/(specification|document|failures|explain|deadlines)\.ts$/,
  /^src\/system\/slice\.ts$|^src\/(system\/)?orphan\.ts$/,
]

/** The SQL table on disk, whose name stays. */
const SQL_SEAL = /\b(TABLE|INTO|FROM|UPDATE|EXISTS|table) (IF NOT EXISTS )?seal\b|['`"]seal['`"]|\bseal: \[/

/** Finds uses of a replaced name in texts and in paths of files. */
export const findOldNames = (
  files: readonly TextFile[],
  oldNames: readonly OldName[],
  oldPaths: readonly RegExp[],
): Violations =>
  files.flatMap(({ path, text }) => [
    ...oldPaths.filter((old) => old.test(path)).map(() => `${path}: the file has an old name`),
    ...text
      .split('\n')
      .flatMap((line, index) =>
        oldNames
          .filter(({ old, except }) => !except?.test(path) && old.test(line.replace(SQL_SEAL, '')))
          .map(({ old, now }) => `${path}:${index + 1}: ${old.exec(line)?.[0]} is ${now} now`),
      ),
  ])
