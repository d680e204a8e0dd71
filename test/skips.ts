/**
 * Decides which tests are skipped because the machine lacks a program that they need. On CI nothing may be
 * skipped.
 */

import { spawnSync } from 'node:child_process'
import process from 'node:process'

/** What some tests need beyond Node, and a user's machine may lack. */
export type Need =
  | 'chromium'
  | 'compilers'
  | 'haproxy'
  | 'mounts'
  | 'nginx'
  | 'python'
  | 'redis'
  | 'safetensors'
  | 'strace'
  | 'terminal'

interface Requirement {
  /**
   * Tried in order: a Python built by the user is often first in the path, but the system's has the packages.
   */
  commands: string[]
  /** Arguments with which a suitable command exits with 0. */
  probe: string[]
  /** The name of what is missing, and how to install it. */
  remedy: string
}

const REQUIREMENTS: Record<Need, Requirement> = {
  chromium: {
    commands: ['chromium', 'chromium-browser', 'google-chrome'],
    probe: ['--version'],
    remedy: 'Chromium (Debian: apt-get install chromium)',
  },
  compilers: {
    commands: [process.execPath],
    probe: [
      '-e',
      `const { statSync } = require('fs')
      for (const name of ['assemblyscript', 'binaryen']) statSync('compilers/node_modules/' + name)`,
    ],
    remedy: 'the compilers of the kernels (npm run build installs them)',
  },
  haproxy: {
    commands: ['haproxy', '/usr/sbin/haproxy'],
    probe: ['-v'],
    remedy: 'haproxy (Debian: apt-get install haproxy)',
  },
  mounts: {
    commands: ['sh'],
    probe: ['-c', 'mkfs.ext4 -V && mkfs.xfs -V && losetup -f && unshare -m mount -t tmpfs tmpfs /mnt'],
    remedy:
      'a user who may mount, loop devices, ext4 and XFS ' +
      '(root; Debian: apt-get install e2fsprogs mount xfsprogs)',
  },
  nginx: {
    commands: ['nginx', '/usr/sbin/nginx'],
    probe: ['-v'],
    remedy: 'nginx (Debian: apt-get install nginx-light)',
  },
  python: {
    commands: ['python3', '/usr/bin/python3'],
    probe: ['-c', 'import numpy, requests'],
    remedy: 'Python 3 with NumPy and requests (Debian: apt-get install python3-numpy python3-requests)',
  },
  redis: {
    commands: ['redis-server', 'valkey-server'],
    probe: ['--version'],
    remedy: 'Redis or Valkey (Debian: apt-get install redis-server)',
  },
  safetensors: {
    commands: ['python3', '/usr/bin/python3'],
    probe: ['-c', 'import numpy, requests, safetensors.numpy'],
    remedy: 'Python 3 with NumPy, requests and safetensors (python3 -m pip install safetensors)',
  },
  strace: {
    commands: ['strace'],
    probe: ['-f', '-e', 'inject=getppid:error=EPERM', 'true'],
    remedy: 'strace, and the right to trace (Debian: apt-get install strace)',
  },
  terminal: {
    commands: ['script'],
    probe: ['-qfec', 'true', '/dev/null'],
    remedy: 'script of util-linux, which gives a program a terminal (Debian: apt-get install bsdutils)',
  },
}

const found = new Map<Need, string | undefined>()

/** Finds a command that meets a need, or undefined when the machine has none. */
export const findCommand = (need: Need): string | undefined => {
  if (!found.has(need)) {
    const { commands, probe } = REQUIREMENTS[need]
    found.set(
      need,
      commands.find(
        (command) => spawnSync(command, probe, { stdio: 'ignore', timeout: 20_000 }).status === 0,
      ),
    )
  }
  return found.get(need)
}

/** Whether the machine has a command that meets the need. */
export const has = (need: Need): boolean => findCommand(need) !== undefined

/**
 * The condition of `describe.skipIf(!needs('chromium'))`. Without the command it prints what is missing and
 * returns false; with `CI=true` it throws instead, because a skipped test proves nothing.
 */
export const needs = (
  need: Need,
  environment: NodeJS.ProcessEnv = process.env,
  isThere: (need: Need) => boolean = has,
): boolean => {
  if (isThere(need)) return true
  const { remedy } = REQUIREMENTS[need]
  if (environment.CI === 'true') throw new Error(`this run may not skip, and the machine lacks ${remedy}`)
  process.stderr.write(`skipped: the machine lacks ${remedy}\n`)
  return false
}

/**
 * For `test.skipIf(!runsLong('every failpoint'))`: true where CI=true, as in `.ci/run`. Elsewhere it says
 * what is skipped and answers false.
 */
export const runsLong = (subject: string, environment: NodeJS.ProcessEnv = process.env): boolean => {
  if (environment.CI === 'true') return true
  process.stderr.write(`skipped: ${subject}, which .ci/run runs (CI=true npm test)\n`)
  return false
}

/** The command that serves a need. Throws where the machine has none: guard with {@link needs}. */
export const commandOf = (need: Need): string => {
  const command = findCommand(need)
  if (command === undefined) throw new Error(`the machine lacks ${REQUIREMENTS[need].remedy}`)
  return command
}
