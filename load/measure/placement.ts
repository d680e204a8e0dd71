/**
 * Decides which cores client and servers run on. Left alone, Linux packs both onto one core or splits them,
 * and the CPU per request of the same server changes with that from second to second.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Placement {
  /** Whether the client has a core of its own. */
  apart: boolean
  /** The words in front of the command of every server. */
  prefix: string[]
  /** One sentence for the report. */
  note: string
}

const SHARED = 'Client and servers share the cores as the system likes'

/**
 * Keeps this process on the first core it may use, and servers started with `prefix` on the others; with
 * `apart` false nothing is placed.
 */
export function placeProcesses(apart: boolean): Placement {
  if (!apart) return share('asked for')
  const [own, ...others] = readCores()
  if (others.length === 0) return share('there is one core, or no /proc to tell')
  try {
    execFileSync('taskset', ['-a', '-p', '-c', String(own), String(process.pid)], { stdio: 'ignore' })
  } catch {
    return share('taskset is missing')
  }
  const many = others.length > 1 ? `${others.length} cores` : 'one core'
  return {
    apart: true,
    prefix: ['taskset', '-c', others.join(',')],
    note: `The client has a core of its own, and never sleeps; each server is held to ${many} beside it`,
  }
}

const share = (reason: string): Placement => ({ apart: false, prefix: [], note: `${SHARED}: ${reason}` })

/** Numbers of the cores that this process may use; empty when the system does not tell. */
function readCores(): number[] {
  try {
    return parseCores(
      /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '',
    )
  } catch {
    return []
  }
}

/** The numbers of a list such as `0-3,6`. */
export function parseCores(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return range.trim() === '' ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
