/** Detects that npm's shell has ended, because a SIGTERM for the service may reach that shell alone. */
const LOOK_MS = 500

/**
 * Calls `onOrphaned` once the current parent process has ended. npm sends SIGTERM to the shell that runs its
 * commands, and many shells end without passing it on. The watch stops at the first signal that does arrive,
 * since a second one would cut a shutdown short.
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
