import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

/** Rules of the dashboard that neither the compiler nor the linter knows. */

const files = globSync('**/*.{ts,tsx}', { cwd: import.meta.dirname }).filter((path) => !path.endsWith('.test.ts'))
const texts = new Map(files.map((path) => [path, readFileSync(join(import.meta.dirname, path), 'utf8')]))

function offenders(pattern: RegExp): readonly string[] {
  return [...texts].filter(([, text]) => pattern.test(text)).map(([path]) => path)
}

test('the dashboard was found', () => {
  assert(files.includes('main.tsx') && files.length > 50)
})

test('of the server, the dashboard knows the types alone', () => {
  assert.deepEqual(offenders(/^(?:import|export) (?!type\b)[^'"]*from '(?:\.\.\/)+src\//m), [])
})

test('what strangers say becomes text, never markup', () => {
  assert.deepEqual(offenders(/dangerouslySetInnerHTML|\.(inner|outer)HTML\b|insertAdjacentHTML|document\.write/), [])
})

test('nothing comes from elsewhere', () => {
  assert.deepEqual(offenders(/(import|src=|href=|fetch\(|url\()\s*['"(]?https?:/), [])
})

test('nothing is printed, and no source is long', () => {
  assert.deepEqual(offenders(/\bconsole\.\w+\(/), [])
  const linesMax = 450
  assert.deepEqual(
    [...texts].filter(([, text]) => text.split('\n').length > linesMax).map(([path]) => path),
    [],
  )
})
