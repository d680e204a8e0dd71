import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, describe, expect, test } from 'vitest'
import { putTable } from '../../helpers/writer.ts'
import { crash, listFolder, makeDirectory, type OpenWriter, openWriter, readRows, send } from '../restart.ts'
import { refusalOf, snapshotsOf } from './damage.ts'

const { open } = fs
afterEach(() => {
  fs.open = open
  syncBuiltinESMExports()
})

type Handle = Awaited<ReturnType<typeof open>>
/** What happens to a read of a file instead: returns its outcome, or null to read as usual. */
type Fault = (handle: Handle, views: Uint8Array[], at: number) => Promise<{ bytesRead: number }> | null

/** Makes reads of the files whose names end in `suffix` go wrong. */
const failReads = (suffix: string, fault: Fault): void => {
  fs.open = async (path, ...rest) => {
    const handle = await open(path, ...rest)
    if (!String(path).endsWith(suffix)) return handle
    const readv = handle.readv.bind(handle)
    handle.readv = ((views: Uint8Array[], at: number) =>
      fault(handle, views, at) ?? readv(views, at)) as typeof handle.readv
    return handle
  }
  syncBuiltinESMExports()
}

/** Makes as many reads wrong as `count`. */
const times = (count: number, fault: Fault): Fault => {
  let left = count
  return (...of) => (left-- > 0 ? fault(...of) : null)
}

/** Makes the first read of each place behind the header wrong. */
const firstOfEachPlace = (fault: Fault): Fault => {
  const seen = new Set([0])
  return (handle, views, at) => (seen.has(at) ? null : (seen.add(at), fault(handle, views, at)))
}

const eio: Fault = () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' }))
const nothing: Fault = () => Promise.resolve({ bytesRead: 0 })
/** Reads the file, and flips a bit on the way. */
const flipped: Fault = async (handle, views, at) => {
  const { bytesRead } = await handle.read(views[0], 0, views[0].length, at)
  views[0][0] ^= 1
  return { bytesRead }
}

/** Snapshots exist at 0 and 2, updates through 4. */
const start = async (): Promise<OpenWriter> => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows: 2, dim: 1 })
  for (let sequence = 1; sequence <= 4; sequence++) {
    await send(opened, [0], [sequence])
    if (sequence === 2) await opened.client.call('snapshot', null)
  }
  return opened
}

describe('A start that reads its newest snapshot badly', () => {
  test.each([
    ['fails once', times(1, eio)],
    ['fails twice', times(2, eio)],
    ['returns nothing once', times(1, nothing)],
    ['returns other bytes once', times(1, flipped)],
    ['of each place returns other bytes once', firstOfEachPlace(flipped)],
  ])('uses it all the same when a read %s', async (_name, fault) => {
    const opened = await start()
    const image = crash(opened.dataDir)
    const files = listFolder(image)
    failReads(snapshotsOf(opened)[1].file, fault)
    const again = await openWriter(image)
    expect([readRows(again), again.warnings]).toEqual([[[4], [0]], []])
    expect(snapshotsOf(again)).toHaveLength(2)
    expect(listFolder(image)).toEqual(files)
  })

  test.each([
    ['fails', eio],
    ['returns nothing', nothing],
  ])('is refused when every read %s, with or without recovery, and keeps all files', async (_name, fault) => {
    const opened = await start()
    const image = crash(opened.dataDir)
    const files = listFolder(image)
    failReads(snapshotsOf(opened)[1].file, fault)
    for (const goesBack of [false, true])
      expect(await refusalOf(image, { goesBack })).toMatchObject({ code: 'Unreadable' })
    expect(listFolder(image)).toEqual(files)
    failReads('', () => null)
    expect(readRows(await openWriter(image))).toEqual([[4], [0]])
  })
})
