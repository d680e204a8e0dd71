/** Nothing is timed before it has been seen to be right: every server must answer the rows that were uploaded, to the bit. */
import { type PreparedRequest, WrongAnswer } from './meter.ts'
import { headersOf, pathOf, type RequestPlan } from './requests.ts'
import { gatherRows, type SourceTable, toBytes } from './rows.ts'
import { LEARNING_RATE, type Scenario } from './scenarios.ts'
import type { Target } from './target.ts'

/** Answers compared value by value, per scenario and server; of the others the length is checked, always. */
const COMPARED_COUNT = 8
/** An update's answer holds the sequence, which grows by a few digits while requests go on. */
const GROWTH_BYTES = 12
const UPDATE_TOLERANCE = 1e-6

/** The answer of one request as HTTP gives it. Throws unless it is 200. */
async function ask(target: Target, scenario: Scenario, body: Buffer): Promise<Buffer> {
  const answer = await fetch(`${target.url}${pathOf(scenario)}`, {
    method: 'POST',
    headers: headersOf(scenario),
    body: new Uint8Array(body),
  })
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (answer.status !== 200)
    throw new WrongAnswer(`${target.name}, ${scenario.id}: status ${answer.status}: ${bytes.toString('utf8', 0, 500)}`)
  return bytes
}

/** How long each answer must be, once the first ones have been compared with the table. */
export async function learnAnswers(
  target: Target,
  scenario: Scenario,
  plans: RequestPlan[],
  requests: Buffer[],
  table: SourceTable,
): Promise<PreparedRequest[]> {
  if (scenario.kind === 'gradients') return learnUpdates(target, scenario, plans, requests)
  const answerBytes: number[] = []
  for (const [index, plan] of plans.entries()) {
    // The length of a binary answer is known; that of each JSON answer is learned.
    if (scenario.encoding === 'binary' && index >= COMPARED_COUNT) {
      answerBytes.push(plan.ids.length * scenario.dim * 4)
      continue
    }
    const answer = await ask(target, scenario, plan.body)
    if (index < COMPARED_COUNT) compareRows(target, scenario, answer, gatherRows(table, plan.ids))
    answerBytes.push(answer.length)
  }
  return requests.map((bytes, index) => ({ bytes, answerBytesMin: answerBytes[index], answerBytesMax: answerBytes[index] }))
}

/** The same requests for a server that answers as many bytes and nothing else. */
export async function imitateAnswers(target: Target, model: PreparedRequest[]): Promise<PreparedRequest[]> {
  const replyBytes = Math.round(model.reduce((sum, request) => sum + request.answerBytesMin, 0) / model.length)
  await (await fetch(`${target.url}/?reply=${replyBytes}`)).arrayBuffer()
  return model.map(({ bytes }) => ({ bytes, answerBytesMin: replyBytes, answerBytesMax: replyBytes }))
}

async function learnUpdates(target: Target, scenario: Scenario, plans: RequestPlan[], requests: Buffer[]): Promise<PreparedRequest[]> {
  const { length } = await ask(target, scenario, plans[0].body)
  return requests.map((bytes) => ({ bytes, answerBytesMin: length - GROWTH_BYTES, answerBytesMax: length + GROWTH_BYTES }))
}

function compareRows(target: Target, scenario: Scenario, answer: Buffer, wanted: Float32Array): void {
  if (scenario.encoding === 'binary') {
    if (answer.equals(toBytes(wanted))) return
    throw new WrongAnswer(`${target.name}, ${scenario.id}: the ${answer.length} bytes are not the rows that were uploaded`)
  }
  const rows = (JSON.parse(answer.toString()) as { embeddings: number[][] }).embeddings.flat()
  const wrong = rows.length === wanted.length ? rows.findIndex((value, index) => Math.fround(value) !== wanted[index]) : rows.length
  if (wrong >= 0) throw new WrongAnswer(`${target.name}, ${scenario.id}: value ${wrong} is not the one that was uploaded`)
}

/** One step with repeated ids on a table just uploaded, compared with the same step in float32. */
export async function verifyUpdate(target: Target, scenario: Scenario, table: SourceTable): Promise<void> {
  const ids = Int32Array.of(1, 2, 1, 5, 1)
  const { dim } = scenario
  const body = {
    indices: [...ids],
    gradients: Array.from(ids, (_, position) => Array.from({ length: dim }, () => (position + 1) / 8)),
    learning_rate: LEARNING_RATE,
  }
  await ask(target, { ...scenario, encoding: 'json' }, Buffer.from(JSON.stringify(body)))
  const distinct = Int32Array.of(1, 2, 5)
  const sums = [(1 + 3 + 5) / 8, 2 / 8, 4 / 8]
  const lookup: Scenario = { ...scenario, kind: 'lookup', encoding: 'binary' }
  const answer = await ask(target, lookup, toBytes(distinct))
  const before = gatherRows(table, distinct)
  if (answer.length !== before.byteLength) throw new WrongAnswer(`${target.name}, ${scenario.id}: ${answer.length} bytes for 3 rows`)
  before.forEach((value, index) => {
    const wanted = value - LEARNING_RATE * sums[Math.floor(index / dim)]
    if (Math.abs(answer.readFloatLE(index * 4) - wanted) > UPDATE_TOLERANCE) {
      throw new WrongAnswer(
        `${target.name}, ${scenario.id}: value ${index} after one step is ${answer.readFloatLE(index * 4)}, not ${wanted}`,
      )
    }
  })
}
