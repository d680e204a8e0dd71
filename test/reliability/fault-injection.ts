/** Makes system calls of a process fail by strace. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const ATTACH_MS_MAX = 10_000

/** A running injection, which makes system calls of a process fail until `end`. */
export interface FaultInjection {
  end: () => Promise<void>
}

/**
 * Starts an injection. `rule` has the form of strace: `fsync:error=EIO:when=1`, or `when=3+`. It counts the
 * calls of each thread separately. All calls of SQLite come from the writer's thread.
 */
export const injectFault = async (pid: number, rule: string): Promise<FaultInjection> => {
  const tracer = spawn(
    'strace',
    ['-f', '-o', '/dev/null', '-p', String(pid), '-e', `trace=${rule.split(':')[0]}`, '-e', `inject=${rule}`],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  const ended = once(tracer, 'close')
  const attached = new Promise<void>((resolve, reject) => {
    tracer.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (/Process \d+ attached/.test(said)) resolve()
    })
    void ended.then(() => reject(new Error(`strace has ended: ${said}`)))
    void sleep(ATTACH_MS_MAX, undefined, { ref: false }).then(() =>
      reject(new Error(`strace does not attach: ${said}`)),
    )
  })
  attached.catch(() => {})
  const end = async (): Promise<void> => {
    tracer.kill('SIGTERM')
    await ended
  }
  try {
    await attached
  } catch (error) {
    await end()
    throw error
  }
  return { end }
}
