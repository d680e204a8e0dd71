import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ExportWriter, exportTable } from '../../src/export/export.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { exportUser, putUser, readBody } from './user-table.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

describe('An export pins its version until', () => {
  const prepare = async (line?: ExportWriter) => {
    await putUser(service.client, 8, 65_536, 'float32', new Float32Array(8 * 65_536))
    const exported = await exportUser(service.client, 'npy', line)
    await service.client.call('remove', { name: 'user', precondition: {} })
    await service.client.call('sync', null)
    expect(service.writer.memory.reservedBytes).toBeGreaterThan(0)
    return exported
  }
  const expectFreed = async () => {
    await service.client.call('sync', null)
    expect(service.writer.memory.reservedBytes).toBe(0)
  }

  test('it has been read', async () => {
    const { body, contentLength } = await prepare()
    expect(await readBody(body)).toHaveLength(contentLength)
    await expectFreed()
    expect(await body.next()).toEqual({ done: true, value: undefined })
  })

  test('its reader stops in the middle', async () => {
    const { body } = await prepare()
    for await (const chunk of body) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    await expectFreed()
  })

  test('it is cancelled before its first chunk, once or twice', async () => {
    const { body } = await prepare()
    await body.return()
    await body.return()
    await expectFreed()
  })

  test('the stream over it is destroyed', async () => {
    const { body } = await prepare()
    const stream = Readable.from(body, { objectMode: false })
    stream.destroy()
    await expect.poll(() => stream.closed).toBe(true)
    await expectFreed()
  })

  test('it fails', async () => {
    const failing: ExportWriter = {
      call: (procedure, argument) =>
        procedure === 'readPreImages'
          ? Promise.reject(new Error('changed too much'))
          : service.client.call(procedure, argument),
    }
    const { body } = await prepare(failing)
    await body.next()
    await expect(body.next()).rejects.toThrow('changed too much')
    await expectFreed()
  })

  test('the connection to the writer is closed', async () => {
    const { body } = await prepare()
    service.client.close()
    await body.next()
    await expect(body.next()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
    expect(await body.next()).toMatchObject({ done: true })
  })

  test('the writer refuses to begin it', async () => {
    await putUser(service.client, 1, 1, 'float32', Float32Array.of(1))
    const { current } = service.client.registry.find('user')
    await service.client.call('remove', { name: 'user', precondition: {} })
    await expect(exportTable(service.client, 'user', current, 'raw')).rejects.toMatchObject({
      code: 'TABLE_NOT_FOUND',
    })
    expect(() => current.unpin(), 'it is not pinned any more').toThrow('unpinned')
  })
})

test('The end of an export is reported to the writer, which then forgets it', async () => {
  await putUser(service.client, 1, 2, 'float32', Float32Array.of(1, 2))
  const calls: string[] = []
  const line: ExportWriter = {
    call: (procedure, argument) => {
      calls.push(procedure)
      return service.client.call(procedure, argument)
    },
  }
  const { body } = await exportUser(service.client, 'raw', line)
  await readBody(body)
  expect(calls).toEqual(['beginExport', 'readPreImages', 'endExport'])
})
