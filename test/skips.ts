import { spawnSync } from 'node:child_process'
import process from 'node:process'

/** What some tests need beyond Node, and a user's machine may lack. */
export type Need = 'chromium' | 'mounts' | 'python' | 'redis' | 'safetensors' | 'strace'

interface Requirement {
  /** Tried in order. An own build of Python often stands before the system's, which has the packages. */
  commands: string[]
  /** Exits 0 where the command is fit for the tests. */
  probe: string[]
  /** What is missing, and how to get it. */
  remedy: string
}

const REQUIREMENTS: Record<Need, Requirement> = {
  chromium: {
    commands: ['chromium', 'chromium-browser', 'google-chrome'],
    probe: ['--version'],
    remedy: 'Chromium (Debian: apt-get install chromium)',
  },
  mounts: {
    commands: ['sh'],
    probe: ['-c', 'mkfs.ext4 -V && mkfs.xfs -V && losetup -f && unshare -m mount -t tmpfs tmpfs /mnt'],
    remedy:
      'a user who may mount, loop devices, ext4 and XFS (root; Debian: apt-get install e2fsprogs mount xfsprogs)',
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
}

const found = new Map<Need, string | undefined>()

/** The command that serves a need, or undefined where the machine has none. */
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

/** Whether the machine has it. */
export const has = (need: Need): boolean => findCommand(need) !== undefined

/**
 * For `describe.skipIf(!needs('chromium'))`: true where the machine has it. Where it has not, says so and answers false; with `CI=true`
 * it throws instead, because a run that is to prove something must not skip.
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

/** The command that serves a need. Throws where the machine has none: guard with {@link needs}. */
export const commandOf = (need: Need): string => {
  const command = findCommand(need)
  if (command === undefined) throw new Error(`the machine lacks ${REQUIREMENTS[need].remedy}`)
  return command
}
