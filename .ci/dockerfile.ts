/** Parses what this project's Dockerfile and .dockerignore use. */
/**
 * One instruction: its keyword, its `--flags`, and the rest as text and as words. The words of a JSON array
 * are its elements.
 */
export interface Instruction {
  keyword: string
  flags: Record<string, string>
  text: string
  words: string[]
}

/** A stage, which begins with `FROM` and ends before the next one. */
export interface Stage {
  name: string
  instructions: Instruction[]
}

const splitWords = (text: string): string[] => {
  if (text.startsWith('[')) return JSON.parse(text) as string[]
  return [...text.matchAll(/(?:"(?:\\.|[^"])*"|\S)+/g)].map((match) =>
    match[0].replaceAll(/"((?:\\.|[^"])*)"/g, '$1'),
  )
}

const parseInstruction = (line: string): Instruction => {
  const [, keyword, rest] = /^(\w+)\s+([^]*)$/.exec(line) ?? []
  if (keyword === undefined || rest === undefined)
    throw new Error(`the Dockerfile has a line that is not an instruction: ${line}`)
  const flags: Record<string, string> = {}
  const unflagged = rest.replace(/^(--[\w-]+=\S+\s+)+/, (all) => {
    for (const match of all.matchAll(/--([\w-]+)=(\S+)/g)) flags[match[1] ?? ''] = match[2] ?? ''
    return ''
  })
  const text = unflagged.trim()
  return { keyword: keyword.toUpperCase(), flags, text, words: splitWords(text) }
}

/**
 * Parses the stages of a Dockerfile, in order. It supports continued lines, comments, flags, words and JSON
 * arrays.
 */
export const parseDockerfile = (text: string): Stage[] => {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
  const stages: Stage[] = []
  for (const instruction of lines.map(parseInstruction)) {
    const stage = stages.at(-1)
    if (instruction.keyword === 'FROM')
      stages.push({ name: instruction.words[2] ?? String(stages.length), instructions: [instruction] })
    else if (stage === undefined) throw new Error(`${instruction.keyword} before FROM`)
    else stage.instructions.push(instruction)
  }
  return stages
}

/** Returns the last instruction of a kind, which overrides those before. Throws when the stage has none. */
export const lastOf = (stage: Stage, keyword: string): Instruction => {
  const found = stage.instructions.findLast((instruction) => instruction.keyword === keyword)
  if (found === undefined) throw new Error(`the stage ${stage.name} has no ${keyword}`)
  return found
}

/** Returns the words of a stage's health check. Throws unless it is `HEALTHCHECK CMD` with a JSON array. */
export const healthCheckOf = (stage: Stage): string[] => {
  const command = /^CMD\s+(\[.*\])$/.exec(lastOf(stage, 'HEALTHCHECK').text)?.[1]
  if (command === undefined) throw new Error(`the stage ${stage.name} has no health check in exec form`)
  return JSON.parse(command) as string[]
}

/** Returns the variables that `ENV` sets in a stage. */
export const environmentOf = (stage: Stage): Record<string, string> =>
  Object.fromEntries(
    stage.instructions
      .filter((instruction) => instruction.keyword === 'ENV')
      .flatMap((instruction) =>
        instruction.words.map((word) => [
          word.slice(0, word.indexOf('=')),
          word.slice(word.indexOf('=') + 1),
        ]),
      ),
  )

/**
 * Returns whether `.dockerignore` lets a file into the build. The last line that names the file, or a folder
 * above it, decides; `!` lets it in.
 */
export const isInContext = (path: string, ignoreText: string): boolean => {
  const parents = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'))
  let included = true
  for (const line of ignoreText.split('\n').map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue
    const pattern = line.replace(/^!/, '')
    const expression = new RegExp(
      `^${pattern.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '[^/]*')}$`,
    )
    if (parents.some((parent) => expression.test(parent))) included = line.startsWith('!')
  }
  return included
}
