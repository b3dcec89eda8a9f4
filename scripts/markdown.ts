/** The first line of a page that is made of the code. */
export function printedFrom(source: string): string {
  return `<!-- Printed from ${source} by \`npm run docs\`; a test keeps the two equal. Change it there. -->\n`
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}
