/** The entry of `gatherd COMMAND`, which bin/gatherd.mjs starts. */
import { runCommandLine } from './cli/run.ts'

process.exitCode = await runCommandLine(process.argv.slice(2))
