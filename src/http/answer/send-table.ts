/** Sends descriptions of tables, and results of changes. */
import type { FastifyReply } from 'fastify'
import type { TableInfo } from '../../core/types.ts'
import { infoTag, tagUnder } from '../../tables/precondition.ts'
import { describeTable, type TableEntry } from '../../tables/registry.ts'
import { stateHeaders } from './send-answer.ts'

/** A description, and the number of changes of the table that are part of its entity tag. */
export interface DescribedTable {
  info: TableInfo
  revision: number
}

/** Describes the table that is read under a name, which may be an alias, and the headers of the answer. */
export const describeRead = (
  name: string,
  entry: TableEntry,
): { info: TableInfo; tag: string; headers: Record<string, string> } => {
  const info = describeTable(entry)
  const tag = tagUnder(name, info.name, infoTag({ ...info, revision: entry.record.revision }))
  return { info, tag, headers: infoHeaders(info, tag) }
}

/**
 * Answers with the description of a table after a change, or with that after the first request of its key.
 */
export const sendTableInfo = (
  reply: FastifyReply,
  { info, revision }: DescribedTable,
  isReplay = false,
): FastifyReply =>
  reply.headers(infoHeaders(info, infoTag({ ...info, revision }))).send(markReplay(reply, info, isReplay))

/**
 * Returns the body of an answer to a change. When it is that to an earlier request with the same key, it says
 * so in the member `replayed`, and in a header, which answers without a body have too.
 */
export const markReplay = <Body extends object>(
  reply: FastifyReply,
  body: Body,
  isReplay: boolean,
): Body & { replayed?: boolean } => {
  if (!isReplay) return body
  reply.header(REPLAY_HEADER, 'true')
  return { ...body, replayed: true }
}

/** Answers 204 to a change. */
export const sendNothing = (reply: FastifyReply, isReplay: boolean): FastifyReply => {
  if (isReplay) reply.header(REPLAY_HEADER, 'true')
  return reply.status(204).send()
}

/** The header of answers that repeat the first result of an Idempotency-Key. */
export const REPLAY_HEADER = 'idempotent-replayed'

const infoHeaders = ({ version, sequence }: TableInfo, tag: string): Record<string, string> => ({
  ...stateHeaders(version, sequence, tag),
  'cache-control': 'no-cache',
})
