import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { patienceMs, until } from './browser.ts'
import { choose, field, press, row } from './outputs.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

/** Of a destination that is gone, until its row says why. */
const saysWhyMs = 20_000

/** What the video element shows now: its time, and how bright and how varied the picture is. */
const lookAtVideo = `(() => {
  const video = document.querySelector('video')
  if (video === null || video.readyState < 2) return undefined
  const canvas = document.createElement('canvas')
  canvas.width = 64
  canvas.height = 36
  const context = canvas.getContext('2d')
  context.drawImage(video, 0, 0, 64, 36)
  const { data } = context.getImageData(0, 0, 64, 36)
  const lights = []
  for (let at = 0; at < data.length; at += 4) lights.push(data[at] + data[at + 1] + data[at + 2])
  const mean = lights.reduce((sum, light) => sum + light, 0) / lights.length
  const spread = lights.reduce((sum, light) => sum + Math.abs(light - mean), 0) / lights.length
  return { time: video.currentTime, muted: video.muted, mean, spread }
})()`
/** As when another tab comes before this one, or leaves: Chromium without windows hides none. */
function showOrHide(isHidden: boolean): string {
  return `(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: ${isHidden} })
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: '${isHidden ? 'hidden' : 'visible'}' })
    document.dispatchEvent(new Event('visibilitychange'))
  })()`
}

type Look = { readonly time: number; readonly muted: boolean; readonly mean: number; readonly spread: number }

export const liveScenes: Scenes = (stage) => {
  test('from nothing to live, through a destination that dies, to new keys', { timeout: sceneMs }, async () => {
    const { server } = stage()
    await using nginx = await startNginxRtmp({ record: false })
    await using person = await stage().visitor()
    const { page } = person
    await page.goto(pages.inputs(server))
    await page.getByRole('button', { name: 'Create live input' }).click()
    await field(page, 'Name').fill('The whole way')
    await press(page, 'Create')
    await page.getByRole('heading', { level: 1, name: 'The whole way' }).waitFor()
    const uid = page.url().split('/').at(-1)!
    const input = await server.input(uid)

    for (const [preset, key] of [
      ['YouTube', 'abcd-efgh-ijkl-mnop-qrst'],
      ['Twitch', 'live_1234_abcdefghijklmnop'],
    ] as const) {
      await page.getByRole('button', { name: 'Add output' }).click()
      await press(page, preset)
      await field(page, 'Stream key').fill(key)
      await press(page, 'Add output')
      await row(page, preset).waitFor()
    }
    await page.getByRole('button', { name: 'Add output' }).click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /^Another server/ })
      .click()
    await field(page, 'Server url').fill(nginx.url())
    await field(page, 'Stream key').fill('whole')
    await field(page, 'Name').fill('Archive')
    await press(page, 'Add output')
    const archive = row(page, 'Archive')
    await archive.getByText('Ready', { exact: true }).waitFor()

    await using encoder = await stage().encode(input)
    await page.getByRole('main').getByText('Live', { exact: true }).first().waitFor()
    await archive.getByText('Live', { exact: true }).waitFor()
    await archive.getByText(/^\d+ kb\/s$/).waitFor()
    // No name is looked up here: the two platforms say so, and disturb nobody.
    await row(page, 'YouTube').getByText('could not be resolved').waitFor()

    await page.getByRole('button', { name: 'Show preview' }).click()
    const look = () => page.evaluate<Look | undefined>(lookAtVideo)
    const first = await until('a picture', async () => {
      const seen = await look()
      return seen !== undefined && seen.time > 0 && seen.mean > 60 && seen.spread > 30 && seen
    })
    assert.equal(first.muted, true)
    await until('the picture to move on', async () => ((await look())?.time ?? 0) > first.time + 1)
    // Nobody sees it: nothing is played, and nothing is loaded any more.
    const isLeft = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/preview.flv'))
    await page.evaluate(showOrHide(true))
    await page.getByText('Stopped, as this tab was hidden.').waitFor()
    assert.equal(await page.locator('video').count(), 0)
    await isLeft
    await page.evaluate(showOrHide(false))
    await page.getByRole('button', { name: 'Show again' }).click()
    await until('a picture again', async () => ((await look())?.time ?? 0) > 0)
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await until('the player to be gone', async () => (await page.locator('video').count()) === 0)

    const diedAt = Date.now()
    await nginx.stop()
    await archive.getByText(/nothing listens|ECONNREFUSED/i).waitFor()
    assert.ok(Date.now() - diedAt < saysWhyMs, `it took ${Date.now() - diedAt} ms to say why`)
    await archive.getByText(/^next in/).waitFor()
    await archive.getByRole('button', { name: 'Try now' }).click()
    await nginx.start()
    await archive.getByText('Live', { exact: true }).waitFor()

    await archive.getByRole('switch').click({ force: true })
    await archive.getByText('Off', { exact: true }).waitFor()
    await nginx.waitForNoPublisher('whole', patienceMs)
    await archive.getByRole('switch').click({ force: true })
    await archive.getByText('Live', { exact: true }).waitFor()
    await choose(page, 'Archive', 'Delete')
    await press(page, 'Delete the output')
    await archive.waitFor({ state: 'detached' })
    await nginx.waitForNoPublisher('whole', patienceMs)

    await page.getByRole('button', { name: 'New stream key' }).click()
    await press(page, 'Make a new key')
    await encoder.exited
    await page.getByText('The stream key is a new one').waitFor()
    await page.getByRole('button', { name: 'Show the stream key' }).first().click()
    const rotated = await server.input(uid)
    assert.notEqual(rotated.rtmps.streamKey, input.rtmps.streamKey)
    await page.getByText(rotated.rtmps.streamKey, { exact: true }).waitFor()
    await page.getByText('Offline', { exact: true }).first().waitFor()
    await person.leave()
  })
}
