import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { startDestination } from '../support/destination.ts'
import { patienceMs, until } from './browser.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

export function row(page: Page, name: string) {
  return page.getByRole('listitem', { name, exact: true })
}

/** From the menu of a row. */
export async function choose(page: Page, name: string, action: string): Promise<void> {
  await row(page, name)
    .getByRole('button', { name: `More for ${name}` })
    .click()
  await page.getByRole('menuitem', { name: action }).click()
}

/** Every dialog has one. */
export function field(page: Page, name: string) {
  return page.getByRole('dialog').getByRole('textbox', { name, exact: true })
}

export function press(page: Page, name: string): Promise<void> {
  return page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
}

/** What a server answers with 507: `page.route` puts it in place of an answer. */
export const diskFull = {
  success: false,
  result: null,
  messages: [],
  errors: [{ code: 11507, message: 'The disk is full.' }],
}

export const outputScenes: Scenes = (stage) => {
  test('outputs are added from presets and by hand, with advice as one types', { timeout: sceneMs }, async () => {
    const { server, nginx } = stage()
    const input = await server.createInput({ meta: { name: 'From presets' } })
    await using person = await stage().visitor({ expected: /status of 400/ })
    const { page } = person
    await page.goto(pages.input(server, input))

    await page.getByRole('button', { name: 'Add output' }).click()
    const platforms = await page.getByRole('dialog').getByRole('listitem').allInnerTexts()
    const wanted = ['YouTube', 'Twitch', 'Facebook', 'Kick', 'TikTok', 'X', 'LinkedIn', 'Instagram', 'Vimeo', 'Trovo']
    for (const name of [...wanted, 'Restream', 'backup', 'Another server'])
      assert.ok(
        platforms.some((text) => text.includes(name)),
        `${name} in ${platforms}`,
      )
    await press(page, 'Twitch')
    assert.match(await field(page, 'Server url').inputValue(), /^rtmps:\/\/live\.twitch\.tv\//)
    await page.getByText('Creator Dashboard').waitFor()
    await field(page, 'Stream key').fill('re_123_0123456789abcdef')
    await page.getByText('This looks like a Restream key').waitFor()
    await field(page, 'Stream key').fill('live_1234_abcdefghijklmnop')
    await page.getByText('This looks like a Restream key').waitFor({ state: 'detached' })
    await press(page, 'Add output')
    await row(page, 'Twitch').waitFor()

    await page.getByRole('button', { name: 'Add output' }).click()
    await press(page, 'YouTube')
    await field(page, 'Server url').fill('https://www.youtube.com/live')
    await page.getByText('Outputs speak RTMP and RTMPS').waitFor()
    await field(page, 'Stream key').fill('abcd-efgh-ijkl-mnop-qrst')
    await press(page, 'Add output')
    // The server has the last word, at the field that it is about; the dialog stays.
    await page.getByRole('dialog').getByText('Outputs speak RTMP and RTMPS').first().waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'RTMP', exact: true }).click()
    assert.equal(await field(page, 'Server url').inputValue(), 'rtmp://a.rtmp.youtube.com/live2')
    await press(page, 'Add output')
    await row(page, 'YouTube').waitFor()

    await page.getByRole('button', { name: 'Add output' }).click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /^Another server/ })
      .click()
    await field(page, 'Server url').fill(nginx.url())
    await field(page, 'Stream key').fill('by-hand')
    await field(page, 'Name').fill('Own archive')
    await press(page, 'Test')
    const steps = page.getByRole('status', { name: 'Test of the destination' })
    await steps.getByText('The destination answers.').waitFor()
    assert.deepEqual(
      (await steps.getByRole('listitem').allInnerTexts()).map((text) => text.includes('worked')),
      [true, true, true, true],
    )
    await press(page, 'Add output')
    await row(page, 'Own archive').waitFor()

    const made = await server.outputs(input.uid)
    assert.deepEqual(
      made.map(({ url, streamKey }) => [url, streamKey]),
      [
        ['rtmps://live.twitch.tv/app', 'live_1234_abcdefghijklmnop'],
        ['rtmp://a.rtmp.youtube.com/live2', 'abcd-efgh-ijkl-mnop-qrst'],
        [nginx.url(), 'by-hand'],
      ],
    )
    await person.leave()
  })

  test('a test that fails says where, and what to do', { timeout: sceneMs }, async () => {
    const { server } = stage()
    const input = await server.createInput()
    await server.addOutput(input.uid, { url: 'rtmp://no-such-host.example/live', streamKey: 'k', name: 'Misspelt' })
    await using person = await stage().visitor()
    const { page } = person
    await page.goto(pages.input(server, input))
    await choose(page, 'Misspelt', 'Test the destination')
    const steps = page.getByRole('status', { name: 'Test of the destination' })
    await steps.getByText('The test failed.').waitFor()
    await steps.getByText('check its spelling').waitFor()
    await person.leave()
  })

  test('edited, duplicated, switched and deleted', { timeout: sceneMs }, async () => {
    const { server } = stage()
    const input = await server.createInput()
    const first = { url: 'rtmp://127.0.0.1:9/live', streamKey: 'first-key', name: 'First', resumeSeconds: 3 }
    await server.addOutput(input.uid, first)
    await using person = await stage().visitor()
    const { page } = person
    await page.goto(pages.input(server, input))

    await choose(page, 'First', 'Edit')
    await field(page, 'Name').fill('Renamed')
    await field(page, 'Resume, seconds').fill('')
    await press(page, 'Save')
    await row(page, 'Renamed').waitFor()
    const [edited] = await server.outputs(input.uid)
    assert.deepEqual([edited?.streamKey, edited?.['resumeSeconds']], ['first-key', undefined])

    await choose(page, 'Renamed', 'Duplicate')
    assert.equal(await field(page, 'Stream key').inputValue(), '', 'two outputs with one key cut each other off')
    await field(page, 'Stream key').fill('second-key')
    await press(page, 'Add output')
    await row(page, 'Renamed copy').waitFor()

    const onOff = async () => (await server.outputs(input.uid)).map(({ enabled }) => enabled).join()
    const becomes = (words: string) => until(`the outputs to be ${words}`, async () => (await onOff()) === words)
    const flip = (name: string) => row(page, name).getByRole('switch').click({ force: true })
    await flip('Renamed')
    await row(page, 'Renamed').getByText('Off', { exact: true }).waitFor()
    await becomes('false,true')
    await page.getByRole('button', { name: 'All off' }).click()
    await press(page, 'Switch all off')
    await becomes('false,false')
    await page.getByRole('button', { name: 'All on' }).click()
    await becomes('true,true')

    await choose(page, 'Renamed', 'Delete')
    await press(page, 'Delete the output')
    await row(page, 'Renamed').waitFor({ state: 'detached' })
    await until('one output to be left', async () => (await server.outputs(input.uid)).length === 1)
    await person.leave()
  })

  test('what the server refuses is taken back, and told', { timeout: sceneMs }, async () => {
    const { server } = stage()
    const input = await server.createInput()
    const output = await server.addOutput(input.uid, { url: 'rtmp://127.0.0.1:9/live', streamKey: 'k', name: 'Kept' })
    await using person = await stage().visitor({ expected: /status of 507|Failed to load/ })
    const { page } = person
    await page.goto(pages.input(server, input))
    const change = row(page, 'Kept').getByRole('switch')
    await change.waitFor({ state: 'attached' })
    await page.route(`**/outputs/${output.uid}`, (route) => route.fulfill({ status: 507, json: diskFull }))
    await change.click({ force: true })
    await page.getByText('Kept was not switched off').waitFor()
    await page.getByText('The disk is full.').waitFor()
    await until('the switch to be on again', () => change.isChecked())
    await choose(page, 'Kept', 'Delete')
    await press(page, 'Delete the output')
    await page.getByText('Kept was not deleted').waitFor()
    await row(page, 'Kept').waitFor()
    await person.leave()
  })

  test('a row keeps its height and its place whatever becomes of its output', { timeout: sceneMs }, async () => {
    const { server, nginx } = stage()
    await using bad = await startDestination({
      behaviour: { answerPublish: { code: 'NetStream.Publish.Denied', description: 'a long story '.repeat(12) } },
    })
    const input = await server.createInput()
    await server.addOutput(input.uid, { url: bad.url(), streamKey: 'bad', name: 'Refused' })
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'steady', name: 'Steady' })
    await using person = await stage().visitor()
    const { page } = person
    await page.goto(pages.input(server, input))
    await row(page, 'Refused').getByText('Ready', { exact: true }).waitFor()
    const placeOf = async (name: string) => (await row(page, name).boundingBox())!
    const before = [await placeOf('Refused'), await placeOf('Steady')].map(({ height }) => height)
    await using _encoder = await stage().encode(input)
    await row(page, 'Refused').getByText('Not live', { exact: true }).waitFor()
    await row(page, 'Refused').getByText('The destination refused the stream key').waitFor()
    await row(page, 'Steady').getByText('Live', { exact: true }).waitFor()
    const after = [await placeOf('Refused'), await placeOf('Steady')]
    assert.deepEqual(
      after.map(({ height }) => height),
      before,
    )
    assert.ok(after[0]!.y < after[1]!.y, 'in the order in which they were added')

    await row(page, 'Refused').getByRole('button', { name: 'Try now' }).click()
    await bad.nextConnection(patienceMs)
    await bad.nextConnection(patienceMs)
    await person.leave()
  })
}
