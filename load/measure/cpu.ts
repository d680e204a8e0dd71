/**
 * Reads from /proc (Linux) how much processor time and memory a server has used so far, in all of its
 * processes. Processor time is the figure to compare servers by: client and server share the machine, so
 * requests per second measure the client as well.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** The kernel reports to user space in hundredths of a second, whatever its own tick is. */
const TICK_NS = 10_000_000

export interface CpuReading {
  /** utime + stime of all processes, ended threads and awaited children included; steps of 10 ms. */
  ticksNs: number
  /** Nanoseconds on a processor, by thread that is alive now. */
  threadNs: Map<string, number>
}

/**
 * All processor time of process `pid` and its children until now; undefined without /proc or such a process.
 */
export function readCpu(pid: number): CpuReading | undefined {
  if (readProcessFile(pid, 'stat') === undefined) return undefined
  const tree = listTree(pid)
  return {
    ticksNs: tree.reduce((sum, member) => sum + readTicks(member), 0),
    threadNs: new Map(tree.flatMap(readThreads)),
  }
}

function readTicks(pid: number): number {
  const stat = readProcessFile(pid, 'stat') ?? ')'
  // The name, in brackets, may hold spaces and brackets; the fields after it are fixed: utime, stime and
  // those of children are the 12th to 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) * TICK_NS
}

/**
 * Returns the nanoseconds of processor time between two readings. They are exact, by the scheduler's clock,
 * unless a thread ended in between, whose figure is lost. Then they are the count of the process, in steps of
 * 10 ms.
 */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let spentNs = 0
  for (const [thread, ns] of after.threadNs) spentNs += ns - (before.threadNs.get(thread) ?? 0)
  const threadEnded = [...before.threadNs.keys()].some((thread) => !after.threadNs.has(thread))
  return threadEnded || after.threadNs.size === 0 ? after.ticksNs - before.ticksNs : spentNs
}

/**
 * Nanoseconds that all processors of the machine have been busy since it started, in steps of 10 ms;
 * undefined without /proc. The part that neither server nor client used is disturbance by others.
 */
export function readMachineCpu(): number | undefined {
  const text = readText('/proc/stat')
  if (text === undefined) return undefined
  // cpu  user nice system idle iowait irq softirq steal ...
  const [user, nice, system, , , irq, softirq, steal] = text
    .slice(0, text.indexOf('\n'))
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * TICK_NS
}

/**
 * Resident memory of process `pid` and its children now and at its highest, in bytes; undefined without /proc
 * or such a process.
 */
export function readMemory(pid: number): { rssBytes: number; rssPeakBytes: number } | undefined {
  if (readProcessFile(pid, 'status') === undefined) return undefined
  const field = (name: string): number =>
    listTree(pid).reduce((sum, member) => {
      const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(
        readProcessFile(member, 'status') ?? '',
      )?.[1]
      return sum + Number(kib ?? 0) * 1_024
    }, 0)
  return { rssBytes: field('VmRSS'), rssPeakBytes: field('VmHWM') }
}

/** The process and all of its descendants. */
function listTree(pid: number): number[] {
  const children = listThreads(pid).flatMap((thread) =>
    (readProcessFile(pid, `task/${thread}/children`) ?? '').split(' ').filter(Boolean),
  )
  return [pid, ...children.flatMap((child) => listTree(Number(child)))]
}

function readThreads(pid: number): [string, number][] {
  return listThreads(pid).flatMap((thread): [string, number][] => {
    const schedule = readProcessFile(pid, `task/${thread}/schedstat`)
    return schedule === undefined ? [] : [[thread, Number(schedule.split(' ')[0])]]
  })
}

function listThreads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

const readProcessFile = (pid: number, name: string): string | undefined => readText(`/proc/${pid}/${name}`)

/** A process or thread may end at any moment, so a missing file is no failure. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
