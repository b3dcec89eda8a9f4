import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { generatedDocs } from '../../scripts/docs.ts'
import { filesOfRepository, readRepositoryFile, root } from './repository.ts'

for (const [path, text] of generatedDocs()) {
  test(`${path} says what the code says (else: npm run docs)`, () => {
    assert.equal(readFileSync(join(root, path), 'utf8'), text)
  })
}

test('links between the pages of the repository lead somewhere', () => {
  const broken: string[] = []
  for (const page of filesOfRepository().filter((path) => path.endsWith('.md')))
    for (const [, target = ''] of readRepositoryFile(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|mailto:|#)/.test(target)) continue
      if (!existsSync(join(root, page, '..', target.replace(/#.*$/, '')))) broken.push(`${page}: ${target}`)
    }
  assert.deepEqual(broken, [])
})
