const subjectPattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/
const patternPattern = /^(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|>)$/

/** @throws TypeError */
export function checkSubject(subject: string): void {
  if (!subjectPattern.test(subject)) throw new TypeError(`${JSON.stringify(subject)} is not a subject of the bus`)
}

/** @throws TypeError */
export function checkPattern(pattern: string): void {
  if (!patternPattern.test(pattern)) throw new TypeError(`${JSON.stringify(pattern)} is not a pattern of subjects`)
}

export function isLiteral(pattern: string): boolean {
  return subjectPattern.test(pattern)
}

/** Whether a pattern, cut into its tokens, takes a subject, cut into its own. */
export function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '>'
  if (isOpen ? subject.length < pattern.length : subject.length !== pattern.length) return false
  return pattern.every((token, index) => token === '*' || token === '>' || token === subject[index])
}
