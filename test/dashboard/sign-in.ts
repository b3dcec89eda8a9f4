import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { startRun } from '../support/server-run.ts'
import { until, Visitor } from './browser.ts'
import { choose, field as dialogField, press, row } from './outputs.ts'
import { pages, readyDeadlineMs, type Scenes, sceneMs } from './stage.ts'

/** Whoever is not signed in is told so with 401 or 403, and the browser writes that down. */
const expected = /status of 40[13]/

/** All that the page's scripts hold, after what nobody holds any more has been thrown away: strings stand in it as they are. */
async function heapOf(page: Page): Promise<string> {
  const session = await page.context().newCDPSession(page)
  const chunks: string[] = []
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => chunks.push(chunk))
  await session.send('HeapProfiler.collectGarbage')
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false })
  await session.detach()
  return chunks.join('')
}

export const signInScenes: Scenes = (stage) => {
  test('the first start prints a link that signs in, once', { timeout: sceneMs }, async () => {
    await using run = await startRun({ deadlineMs: readyDeadlineMs })
    const origin = `http://127.0.0.1:${run.ports.http}`
    const [, once] = await run.program.waitForLine(/#\/sign-in\?once=([\w-]+)/)
    const link = `/#/sign-in?once=${once}`
    await using person = await Visitor.enter(stage().browser, origin, { expected })
    const { page } = person
    await page.goto(link)
    await page.getByRole('heading', { name: 'Send once, be live everywhere' }).waitFor()
    assert.equal(page.url().includes(once!), false, 'the address forgets the link')
    const [cookie, ...others] = await page.context().cookies()
    assert.deepEqual(others, [])
    assert.deepEqual([cookie?.httpOnly, cookie?.sameSite], [true, 'Strict'])

    await using stranger = await Visitor.enter(stage().browser, origin, { expected })
    await stranger.page.goto(link)
    await stranger.page.getByText('This link has been used already').waitFor()
    assert.deepEqual(await stranger.page.context().cookies(), [])
    await person.leave()
    await stranger.leave()
  })

  test('a token signs in and is kept nowhere; signing out closes the door', { timeout: sceneMs }, async () => {
    const { browser, server } = stage()
    await using person = await Visitor.enter(browser, server.origin, { expected })
    const { page } = person
    await page.goto(pages.inputs(server))
    const field = page.getByRole('textbox', { name: 'API token' })
    await field.fill('not-the-token')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText('does not know this token').waitFor()
    await field.fill('')
    // As a person does: what fill() is given may stay in the scripts that it puts into the page.
    await page.keyboard.insertText(server.token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Sign out' }).waitFor()

    const kept = await page.evaluate<string>(
      'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])',
    )
    const { cookies } = await page.context().storageState()
    assert.equal((kept + JSON.stringify(cookies)).includes(server.token), false)
    await until('the token to be gone from memory', async () => !(await heapOf(page)).includes(server.token))

    // Keys that are shown, and one that is typed in.
    const input = await server.createInput()
    const shownKey = 'key-that-is-shown-0123456789'
    const typedKey = 'key-that-is-typed-0123456789'
    await server.addOutput(input.uid, { url: 'rtmp://127.0.0.1:9/live', streamKey: shownKey, name: 'Shown' })
    await page.goto(pages.input(server, input))
    await row(page, 'Shown').waitFor()
    await choose(page, 'Shown', 'Duplicate')
    await dialogField(page, 'Stream key').click()
    await page.keyboard.insertText(typedKey)
    await press(page, 'Add output')
    await row(page, 'Shown copy').waitFor()
    const keys = [shownKey, typedKey, input.rtmps.streamKey]
    const heldBy = (heap: string) => keys.filter((key) => heap.includes(key))
    assert.deepEqual(heldBy(await heapOf(page)), keys, 'a heap holds texts as they are')

    await page.getByRole('button', { name: 'Sign out' }).click()
    await field.waitFor()
    await until('the keys to be gone from memory', async () => heldBy(await heapOf(page)).length === 0)
    await page.goBack()
    await page.goto(pages.settings(server))
    await field.waitFor()
    await person.leave()
  })
}
