/**
 * `npm run screenshots`: the pages of the dashboard, light and dark, wide and on a phone, into docs/screenshots/. What they show is real:
 * a server, encoders that send, destinations that take it, refuse it or are not there.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { type Colours, phone, Visitor, wide } from '../test/dashboard/browser.ts'
import { field, press, row } from '../test/dashboard/outputs.ts'
import { Showcase } from '../test/dashboard/showcase.ts'
import { pages } from '../test/dashboard/stage.ts'

const folder = join(import.meta.dirname, '../docs/screenshots')
/** WebP: text stays crisp, and all of them together stay below 1.5 MB. */
const quality = 80
/** So long the graphs fill before anything is taken. */
const graphsMs = 60_000

const sizes = { wide: { ...wide, height: 880 }, phone } as const
type Size = keyof typeof sizes

await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
await using showcase = await Showcase.open()
const { server, browser } = showcase.stage

for (const size of ['wide', 'phone'] satisfies Size[]) {
  const look = { viewport: sizes[size], context: { deviceScaleFactor: size === 'wide' ? 1.5 : 2 } }
  await using stranger = await Visitor.enter(browser, server.origin, look)
  await stranger.page.goto('/')
  await stranger.page.getByRole('textbox', { name: 'API token' }).waitFor()
  await take(stranger.page, 'sign-in', size)
  await using person = await showcase.stage.visitor(look)
  await tour(person.page, size)
}

/** One page for all pictures of a size: what its graphs have gathered stays. */
async function tour(page: Page, size: Size): Promise<void> {
  await page.goto(pages.input(server, showcase.main))
  await page.getByRole('button', { name: 'Show preview' }).click()
  await page.waitForTimeout(graphsMs)
  await take(page, 'live-input', size, true)

  await row(page, 'Kick').getByRole('button', { name: 'Details of Kick' }).click()
  await take(page, 'output-details', size, false, row(page, 'Kick'))
  await page.getByRole('button', { name: 'Add output' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Restream' }).waitFor()
  await take(page, 'add-output', size)
  await press(page, 'Facebook')
  await field(page, 'Server url').fill(showcase.facebookUrl)
  await field(page, 'Stream key').fill('FB-1234567890-0-Abcdefghijklmnop')
  await press(page, 'Test')
  await page.getByText('The destination answers.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Add output' }).scrollIntoViewIfNeeded()
  await take(page, 'test-output', size)
  await page.keyboard.press('Escape')

  await page.goto(pages.inputs(server))
  await page.getByRole('link', { name: 'Sunday service' }).waitFor()
  await page.waitForTimeout(3_000)
  await take(page, 'live-inputs', size)
  await page.goto(pages.settings(server))
  await page.getByRole('listitem').getByText('Delivered', { exact: true }).first().waitFor()
  await take(page, 'settings', size, true)
}

/** @param isWhole the whole page, and not only what its window shows. */
async function take(
  page: Page,
  name: string,
  size: Size,
  isWhole = false,
  part?: ReturnType<typeof row>,
): Promise<void> {
  for (const colours of ['light', 'dark'] satisfies Colours[]) {
    await page.emulateMedia({ colorScheme: colours })
    // The pointer would leave its mark on what lies under it; a frame later the colours are there.
    await page.mouse.move(0, 0)
    await page.waitForTimeout(400)
    const [height, scrolled] = await page.evaluate<[number, number]>('[document.documentElement.scrollHeight, scrollY]')
    const { width, height: windowHeight } = page.viewportSize()!
    const box = await part?.boundingBox()
    const session = await page.context().newCDPSession(page)
    const { data } = await session.send('Page.captureScreenshot', {
      format: 'webp',
      quality,
      captureBeyondViewport: isWhole || part !== undefined,
      clip: box
        ? { ...box, y: box.y + scrolled, scale: 1 }
        : { x: 0, y: isWhole ? 0 : scrolled, width, height: isWhole ? height : windowHeight, scale: 1 },
    })
    await session.detach()
    await writeFile(join(folder, `${name}-${size}-${colours}.webp`), Buffer.from(data, 'base64'))
  }
}
