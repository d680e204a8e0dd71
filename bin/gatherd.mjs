#!/usr/bin/env node
/**
 * The entry of `npx gatherd`. It starts gatherd on the Node that package.json pins, if that is installed, and
 * else on the running Node, if `engines` allows it. It is plain JavaScript that old releases of Node
 * understand, since any of them may run it.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const packageFile = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/**
 * A checkout has the TypeScript sources. The npm package has JavaScript, because Node strips no types below
 * node_modules.
 */
const source = join(root, 'src', 'cli.ts')
const entry = existsSync(source) ? source : join(root, 'dist', 'cli.js')

const majorOf = (version) => Number(/\d+/.exec(version))
const runtimes = Object.keys(packageFile.optionalDependencies)
const runningMajor = majorOf(process.versions.node)
const pinnedMajor = Math.max(...runtimes.map((name) => majorOf(packageFile.optionalDependencies[name])))

/** Finds the pinned Node for this machine. Returns null when npm installed none. */
const findRuntime = () => {
  const { resolve } = createRequire(import.meta.url)
  for (const name of runtimes) {
    try {
      const path = resolve(`${name}/package.json`)
      const { os, cpu, bin } = JSON.parse(readFileSync(path, 'utf8'))
      const fits = [os].flat().includes(process.platform) && [cpu].flat().includes(process.arch)
      if (fits) return join(dirname(path), bin.node)
    } catch {
      // npm does not install the package of another platform.
    }
  }
  return null
}

/** Runs `program` with our arguments, passes signals on to it and ends as it ends. */
const become = (program) => {
  const child = spawn(program, [entry, ...process.argv.slice(2)], { stdio: 'inherit' })
  child.once('error', (error) => {
    clearInterval(watch)
    process.stderr.write(`gatherd: ${program} cannot be started (${error.message})\n`)
    process.exitCode = 1
  })
  // npm sends signals to the shell between npm and this process, which may end without passing them on.
  const { ppid } = process
  const watch = setInterval(() => {
    if (process.env.npm_lifecycle_event === undefined || process.ppid === ppid) return
    clearInterval(watch)
    child.kill('SIGTERM')
  }, 500)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      clearInterval(watch)
      // The terminal sends Ctrl-C to both processes, and a second signal would cut the shutdown short.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.once('exit', (code, signal) => {
    clearInterval(watch)
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

const runtime = runningMajor < pinnedMajor ? findRuntime() : null
if (runtime !== null) {
  become(runtime)
} else if (runningMajor >= majorOf(packageFile.engines.node)) {
  await import(pathToFileURL(entry).href)
} else {
  process.stderr.write(
    `gatherd: this is Node ${process.versions.node}, gatherd needs ${packageFile.engines.node}, and npm ` +
      `has no Node ${pinnedMajor} for ${process.platform}-${process.arch}, or was told to leave optional ` +
      'packages out; install a newer Node\n',
  )
  process.exitCode = 1
}
