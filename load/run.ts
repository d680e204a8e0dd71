/**
 * `npm run load`: measures gatherd beside the peers that are installed, prints a table, writes JSON and one
 * HTML page.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeCommit, describeMachine, describeVersions } from './measure/machine.ts'
import { type LoadOptions, readOptions, USAGE } from './options.ts'
import { startPeers } from './peers/peers.ts'
import { placeProcesses } from './measure/placement.ts'
import { printTable } from './print.ts'
import { renderReport } from './report/write-report.ts'
import { describePicture, drawPicture, replaceWords, takePictured } from './report/picture.ts'
import { RESULTS_FORMAT, type Results } from './results.ts'
import { listScenarios, rowCountFor, SEEDS, ZIPF_EXPONENT } from './scenarios.ts'
import { runSession } from './session.ts'
import { startGatherd, type Target, useRunningGatherd } from './peers/target.ts'

const README_PATH = join(import.meta.dirname, '../README.md')

const warn = (text: string): void => void process.stderr.write(`${text}\n`)
const say = (text: string): void => warn(`${new Date().toISOString().slice(11, 19)} ${text}`)

async function measure(options: LoadOptions): Promise<Results> {
  const scenarios = listScenarios(options.quick).filter((scenario) =>
    options.scenarioPattern.test(scenario.id),
  )
  if (scenarios.length === 0) throw new Error('no scenario matches --scenarios')
  const beganMs = performance.now()
  // This comes first, because a process that is held to one core sees only that core.
  const machine = describeMachine()
  const placement = placeProcesses(!options.free && options.url === undefined)
  const { outPath, python, peerPattern: pattern } = options
  const { apart, prefix } = placement
  const targets: Target[] = []
  const stopAll = async (): Promise<void> =>
    void (await Promise.all(targets.splice(0).map((target) => target.stop())))
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stopAll().finally(() => process.exit(130)))
  try {
    targets.push(
      options.url === undefined
        ? await startGatherd(outPath, prefix)
        : await useRunningGatherd(options.url, options.pid),
    )
    const peers = await startPeers({ python, pattern, outPath, prefix })
    targets.push(...peers.targets)
    for (const { name, reason } of peers.skipped) say(`${name} is skipped: ${reason}`)
    const measured = await runSession({
      targets,
      scenarios,
      rowCount: rowCountFor(options.quick),
      options,
      apart,
      say,
    })
    return {
      format: RESULTS_FORMAT,
      madeAt: new Date().toISOString(),
      seconds: (performance.now() - beganMs) / 1_000,
      machine,
      versions: describeVersions(),
      commit: describeCommit(),
      method: {
        quick: options.quick,
        rowCount: rowCountFor(options.quick),
        repeatCount: options.repeatCount,
        warmupSeconds: options.warmupSeconds,
        windowSeconds: options.windowSeconds,
        zipfExponent: ZIPF_EXPONENT,
        seeds: SEEDS,
        placement: placement.note,
      },
      skipped: peers.skipped,
      ...measured,
    }
  } finally {
    await stopAll()
  }
}

function readResults(path: string): Results {
  const results = JSON.parse(readFileSync(path, 'utf8')) as Results
  if (results.format !== RESULTS_FORMAT)
    throw new Error(`${path} has format ${results.format}, this reads ${RESULTS_FORMAT}`)
  return results
}

async function run(options: LoadOptions): Promise<void> {
  mkdirSync(options.outPath, { recursive: true })
  const results = options.fromPath === undefined ? await measure(options) : readResults(options.fromPath)
  const reportPath = join(options.outPath, 'report.html')
  writeFileSync(join(options.outPath, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(reportPath, renderReport(results))
  console.log(printTable(results))
  console.log(`\n${relative('.', reportPath)}  ${pathToFileURL(reportPath).href}`)
  if (options.svgPath !== undefined) writePicture(results, options.svgPath)
}

/** Writes the picture, its figures as JSON, and the words under it into the README if that shows it. */
function writePicture(results: Results, svgPath: string): void {
  const shown = takePictured(results)
  writeFileSync(svgPath, drawPicture(shown))
  writeFileSync(svgPath.replace(/(\.svg)?$/, '.json'), `${JSON.stringify(shown, null, 1)}\n`)
  const words = describePicture(shown)
  const readme = readFileSync(README_PATH, 'utf8')
  const changed = replaceWords(readme, relative(dirname(README_PATH), svgPath), words)
  if (changed !== readme) writeFileSync(README_PATH, changed)
  console.log(`${relative('.', svgPath)}\n\n${words}`)
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) console.log(USAGE)
  else await run(options)
} catch (error) {
  warn(`load: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
