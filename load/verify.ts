/** Checks every server before it is timed: it must answer the uploaded rows, to the bit. */
import { type Connection, openConnection } from './wires/connection.ts'
import { type PreparedRequest, WrongAnswer } from './measure/meter.ts'
import type { RequestPlan } from './wires/requests.ts'
import { gatherRows, type SourceTable, toBytes } from './rows.ts'
import { LEARNING_RATE, type Scenario } from './scenarios.ts'
import type { Target } from './peers/target.ts'

/** Answers compared value by value, per scenario and server; the length of every other answer is checked. */
const COMPARED_COUNT = 8
/** An update's answer holds the sequence, which grows by a few digits while requests go on. */
const GROWTH_BYTES = 12
const UPDATE_TOLERANCE = 1e-6

/** The answer to one request. Throws unless it is 200. */
async function ask(
  connection: Connection,
  target: Target,
  scenario: Scenario,
  request: Buffer,
): Promise<Buffer> {
  const { status, body } = await connection.ask(request)
  if (status !== 200)
    throw new WrongAnswer(
      `${target.name}, ${scenario.id}: status ${status}: ${body.toString('utf8', 0, 500)}`,
    )
  return body
}

/** Connects for the time of `action`. */
async function connected<T>(target: Target, action: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await openConnection(target.url, target.wire)
  try {
    return await action(connection)
  } finally {
    connection.close()
  }
}

/**
 * How long each answer must be, once the first ones have been compared with the table. `requests` are the
 * plans as bytes.
 */
export async function learnAnswers(
  target: Target,
  scenario: Scenario,
  plans: RequestPlan[],
  requests: Buffer[],
  table: SourceTable,
): Promise<PreparedRequest[]> {
  return connected(target, async (connection) => {
    if (scenario.kind === 'gradients') {
      const { length } = await ask(connection, target, scenario, requests[0])
      return requests.map((bytes) => ({
        bytes,
        answerBytesMin: length - GROWTH_BYTES,
        answerBytesMax: length + GROWTH_BYTES,
      }))
    }
    const answerBytes: number[] = []
    for (const [index, plan] of plans.entries()) {
      // The length of a binary answer is known; that of each JSON answer is learned.
      if (scenario.encoding === 'binary' && index >= COMPARED_COUNT) {
        answerBytes.push(plan.ids.length * scenario.dim * 4)
        continue
      }
      const answer = await ask(connection, target, scenario, requests[index])
      if (index < COMPARED_COUNT) compareRows(target, scenario, answer, gatherRows(table, plan.ids))
      answerBytes.push(answer.length)
    }
    return requests.map((bytes, index) => ({
      bytes,
      answerBytesMin: answerBytes[index],
      answerBytesMax: answerBytes[index],
    }))
  })
}

/** The same requests for a server that answers as many bytes and nothing else. */
export async function imitateAnswers(target: Target, model: PreparedRequest[]): Promise<PreparedRequest[]> {
  const replyBytes = Math.round(
    model.reduce((sum, request) => sum + request.answerBytesMin, 0) / model.length,
  )
  await (await fetch(`${target.url}/?reply=${replyBytes}`)).arrayBuffer()
  return model.map(({ bytes }) => ({ bytes, answerBytesMin: replyBytes, answerBytesMax: replyBytes }))
}

function compareRows(target: Target, scenario: Scenario, answer: Buffer, wanted: Float32Array): void {
  if (scenario.encoding === 'binary') {
    if (answer.equals(toBytes(wanted))) return
    throw new WrongAnswer(
      `${target.name}, ${scenario.id}: the ${answer.length} bytes are not the rows that were uploaded`,
    )
  }
  const rows = (JSON.parse(answer.toString()) as { embeddings: number[][] }).embeddings.flat()
  const wrong =
    rows.length === wanted.length
      ? rows.findIndex((value, index) => Math.fround(value) !== wanted[index])
      : rows.length
  if (wrong >= 0)
    throw new WrongAnswer(`${target.name}, ${scenario.id}: value ${wrong} is not the one that was uploaded`)
}

/** One step with repeated ids on a table just uploaded, compared with the same step in float32. */
export async function verifyUpdate(target: Target, scenario: Scenario, table: SourceTable): Promise<void> {
  const ids = Int32Array.of(1, 2, 1, 5, 1)
  const { dim } = scenario
  const gradients = new Float32Array(ids.length * dim).map((_, index) => (Math.floor(index / dim) + 1) / 8)
  const distinct = Int32Array.of(1, 2, 5)
  const sums = [(1 + 3 + 5) / 8, 2 / 8, 4 / 8]
  const lookup: Scenario = { ...scenario, kind: 'lookup', encoding: 'binary' }
  const answer = await connected(target, async (connection) => {
    await ask(connection, target, scenario, target.wire.encodeRequest(scenario, { ids, gradients }))
    return ask(connection, target, scenario, target.wire.encodeRequest(lookup, { ids: distinct }))
  })
  const before = gatherRows(table, distinct)
  if (answer.length !== before.byteLength)
    throw new WrongAnswer(`${target.name}, ${scenario.id}: ${answer.length} bytes for 3 rows`)
  before.forEach((value, index) => {
    const wanted = value - LEARNING_RATE * sums[Math.floor(index / dim)]
    const given = answer.readFloatLE(index * 4)
    if (Math.abs(given - wanted) > UPDATE_TOLERANCE) {
      throw new WrongAnswer(
        `${target.name}, ${scenario.id}: value ${index} after one step is ${given}, not ${wanted}`,
      )
    }
  })
}
