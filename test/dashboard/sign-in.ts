import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRun } from '../support/server-run.ts'
import { Visitor } from './browser.ts'
import { pages, readyDeadlineMs, type Scenes, sceneMs } from './stage.ts'

/** Whoever is not signed in is told so with 401 or 403, and the browser writes that down. */
const expected = /status of 40[13]/

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
    await field.fill(server.token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Sign out' }).waitFor()

    const kept = await page.evaluate<string>(
      'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])',
    )
    const { cookies } = await page.context().storageState()
    assert.equal((kept + JSON.stringify(cookies)).includes(server.token), false)

    await page.getByRole('button', { name: 'Sign out' }).click()
    await field.waitFor()
    await page.goBack()
    await page.goto(pages.settings(server))
    await field.waitFor()
    await person.leave()
  })
}
