import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { publish } from '../support/publisher.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { patienceMs, until } from './browser.ts'
import { diskFull, field, press, row } from './outputs.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

/** From the menu of a live input, in the list and on its page. */
async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `More for ${name}`, exact: true }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

export const inputScenes: Scenes = (stage) => {
  test('a live input is renamed, disabled while it is live, enabled and deleted', { timeout: sceneMs }, async () => {
    const { server, nginx } = stage()
    const input = await server.createInput({ meta: { name: 'Old name', place: 'kept' } })
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'cut', name: 'Archive' })
    const goLive = async () => {
      const encoder = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      // It ends when it is cut.
      void encoder.replay(syntheticTags({ kbps: 500, fps: 30, gopMs: 1_000 }))
      return encoder
    }
    await using first = await goLive()
    await using person = await stage().visitor({ expected: /status of (404|507)/ })
    const { page } = person
    const link = (name: string) => page.getByRole('link', { name, exact: true })

    await page.goto(pages.inputs(server))
    await act(page, 'Old name', 'Rename')
    await field(page, 'Name').fill('New name')
    await press(page, 'Rename')
    await link('New name').waitFor()
    // Seen before the server has answered, and taken back when it has refused.
    await page.route(`**/live_inputs/${input.uid}`, async (route) => {
      if (route.request().method() !== 'PUT') return route.continue()
      await link('Full').waitFor()
      await route.fulfill({ status: 507, json: diskFull })
    })
    await act(page, 'New name', 'Rename')
    await field(page, 'Name').fill('Full')
    await press(page, 'Rename')
    await page.getByText('New name was not renamed').waitFor()
    await page.getByText('The disk is full.').waitFor()
    await link('New name').waitFor()
    await page.unroute(`**/live_inputs/${input.uid}`)
    assert.deepEqual((await server.input(input.uid))['meta'], { name: 'New name', place: 'kept' })

    await link('New name').click()
    const state = (words: string) => page.getByRole('main').getByText(words, { exact: true }).first().waitFor()
    await state('Live')
    await row(page, 'Archive').getByText('Live', { exact: true }).waitFor()
    await act(page, 'New name', 'Disable')
    await page.getByRole('dialog').getByText('It is live now').waitFor()
    await press(page, 'Disable, and cut what is live')
    await state('Disabled')
    await first.closed
    await nginx.waitForNoPublisher('cut', patienceMs)
    await page.getByText('encoders are refused').waitFor()
    await assert.rejects(goLive(), { name: 'PublishRefused' })
    await page.getByRole('button', { name: 'Enable', exact: true }).click()
    await page.getByText('encoders are refused').waitFor({ state: 'detached' })
    // That was shown at once: an encoder is let in when the server has agreed.
    await until('the live input to be enabled', async () => (await server.input(input.uid))['enabled'])

    await using second = await goLive()
    await state('Live')
    await act(page, 'New name', 'Delete')
    const dialog = page.getByRole('dialog')
    for (const words of ['It is live now', 'Its stream key stops working', 'Its output is deleted'])
      await dialog.getByText(words).waitFor()
    await press(page, 'Delete the live input')
    await page.getByRole('heading', { level: 1, name: 'Live inputs' }).waitFor()
    await second.closed
    await link('New name').waitFor({ state: 'detached' })
    assert.equal((await server.api('GET', `/${input.uid}`)).status, 404)
    await person.leave()
  })

  test('each account has live inputs of its own, and a choice of account leads to them', {
    timeout: sceneMs,
  }, async () => {
    const { server } = stage()
    const made = await server.api<{ id: string }>('POST', '/client/v4/accounts', { name: 'Second house' })
    const account = made.json.result.id
    await server.api('POST', `/client/v4/accounts/${account}/stream/live_inputs`, { meta: { name: 'Of the second' } })
    await server.createInput({ meta: { name: 'Of the first' } })
    await using person = await stage().visitor()
    const { page } = person
    const choice = page.getByRole('combobox', { name: 'Account' })
    const link = (name: string) => page.getByRole('link', { name, exact: true })
    await page.goto(pages.inputs(server))
    await link('Of the first').waitFor()
    await choice.selectOption({ label: 'Second house' })
    await link('Of the second').waitFor()
    assert.equal(await link('Of the first').count(), 0)
    // A start without an address leads to where one was.
    await page.goto('/')
    await page.reload()
    await link('Of the second').waitFor()
    await choice.selectOption({ value: server.accountId })
    await link('Of the first').waitFor()
    assert.equal(await link('Of the second').count(), 0)
    await person.leave()
  })
}
