/** `npm run load`: measures gatherd beside what is installed to compare with, prints a table, writes JSON and one HTML page. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeCommit, describeMachine, describeVersions } from './machine.ts'
import { type LoadOptions, readOptions, USAGE } from './options.ts'
import { startPeers } from './peers.ts'
import { printTable } from './print.ts'
import { renderReport } from './report.ts'
import { RESULTS_FORMAT, type Results } from './results.ts'
import { listScenarios, rowCountFor, SEEDS, ZIPF_EXPONENT } from './scenarios.ts'
import { runSession } from './session.ts'
import { startGatherd, type Target, useRunningGatherd } from './target.ts'

const warn = (text: string): void => void process.stderr.write(`${text}\n`)
const say = (text: string): void => warn(`${new Date().toISOString().slice(11, 19)} ${text}`)

async function run(options: LoadOptions): Promise<void> {
  const scenarios = listScenarios(options.quick).filter((scenario) => options.scenarioPattern.test(scenario.id))
  if (scenarios.length === 0) throw new Error('no scenario matches --scenarios')
  mkdirSync(options.outPath, { recursive: true })
  const beganMs = performance.now()
  const targets: Target[] = []
  const stopAll = async (): Promise<void> => void (await Promise.all(targets.splice(0).map((target) => target.stop())))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stopAll().finally(() => process.exit(130)))
  try {
    targets.push(options.url === undefined ? await startGatherd(options.outPath) : await useRunningGatherd(options.url, options.pid))
    const peers = await startPeers({ python: options.python, pattern: options.peerPattern, outPath: options.outPath })
    targets.push(...peers.targets)
    for (const { name, reason } of peers.skipped) say(`${name} is skipped: ${reason}`)
    const measured = await runSession({ targets, scenarios, rowCount: rowCountFor(options.quick), options, say })
    const results: Results = {
      format: RESULTS_FORMAT,
      madeAt: new Date().toISOString(),
      seconds: (performance.now() - beganMs) / 1_000,
      machine: describeMachine(),
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
      },
      skipped: peers.skipped,
      ...measured,
    }
    writeResults(results, options.outPath)
  } finally {
    await stopAll()
  }
}

function writeResults(results: Results, outPath: string): void {
  const reportPath = join(outPath, 'report.html')
  writeFileSync(join(outPath, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(reportPath, renderReport(results))
  console.log(printTable(results))
  console.log(`\n${relative('.', reportPath)}  ${pathToFileURL(reportPath).href}`)
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) console.log(USAGE)
  else await run(options)
} catch (error) {
  warn(`load: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
