const LOOK_MS = 500

/**
 * Calls `onOrphaned` once the process that is now the parent has ended. npm gives SIGTERM to the shell that it starts commands with, and
 * many a shell ends without passing it on. Stops looking at the first signal that does arrive: a second one would cut a shutdown off.
 */
export const watchParent = (onOrphaned: () => void, parentId: number = process.ppid): void => {
  const stop = (): void => clearInterval(timer)
  const timer = setInterval(() => {
    if (process.ppid === parentId) return
    stop()
    onOrphaned()
  }, LOOK_MS)
  timer.unref()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
}
