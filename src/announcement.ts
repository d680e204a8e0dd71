/** What the service prints to standard output when it is ready: one line of JSON, or a page for people. */
import type { Config } from './config.ts'
import { version } from './version.ts'

const announceReady = (address: string): string => `gatherd ${version} is ready: ${address}`

/** Returns the announcement for programs, which is one line of JSON like those of the log. */
export const announceToPrograms = (
  address: string,
  { httpThreadCount, memoryQuotaBytes }: Pick<Config, 'httpThreadCount' | 'memoryQuotaBytes'>,
): string => {
  // The address ends at a blank, so that a reader may take it from the text, too.
  const msg = `${announceReady(address)} (HTTP threads: ${httpThreadCount})`
  return `${JSON.stringify({ level: 30, time: Date.now(), name: 'main', msg, url: address, memoryQuotaBytes })}\n`
}

/** Returns the announcement for people: a line that holds the address, and requests to try. */
export const announceToPeople = (address: string): string => {
  const json = "-H 'content-type: application/json'"
  return (
    `${announceReady(address)}\n\nA first lookup to try:\n` +
    `  curl -X PUT ${address}/v1/tables/user ${json} -d '{"values":[[1,2],[3,4],[5,6]]}'\n` +
    `  curl ${address}/v1/tables/user/lookup ${json} -d '{"indices":[2,0]}'\n` +
    `Documentation: ${address}/docs\n`
  )
}
