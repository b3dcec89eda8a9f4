import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'
import type { CreatedInput } from '../support/server.ts'
import { type Colours, phone, until, Visitor } from './browser.ts'
import { choose, field, press, row } from './outputs.ts'
import { startReceiver } from './receiver.ts'
import { pages, type Scenes, type Stage, sceneMs } from './stage.ts'

/** Keys that are pressed before something is given up as out of reach. */
const tabsMax = 80

/** Below 1 s on a machine that has nothing else to do; two other scenes go on beside this one. */
const readyMsMax = 3_000
/** A third of what web.dev calls good: nothing that one reads may move. In the list, rows that other scenes make come in. */
const layoutShiftMax = { alone: 0.03, shared: 0.1 }
/** By how much one file or answer comes later than another on a bad line: up to 600 ms. */
const lateStepMs = 150
/** A prime: each multiple of it brings them in another order. */
const lateStepCount = 5
/** How much of the window has moved, and how far, without anybody having pressed anything: the sum of what the browser has told. */
const layoutShift = `new Promise((resolve) => {
  const observer = new PerformanceObserver((list) => {
    observer.disconnect()
    resolve(list.getEntries().reduce((sum, entry) => sum + (entry.hadRecentInput ? 0 : entry.value), 0))
  })
  observer.observe({ type: 'layout-shift', buffered: true })
  // Nothing is told where nothing moved.
  setTimeout(resolve, 100, 0)
})`

/** Presses Tab until what has the focus is called so. @throws AssertionError when it is not reached. */
async function tabTo(page: Page, name: string): Promise<void> {
  const called = `(() => {
    const { activeElement: at } = document
    if (at === document.body || at?.tagName === 'MAIN') return ''
    const label = at?.labels?.[0]?.innerText ?? ''
    return [at?.getAttribute('aria-label'), at?.innerText, label.replace(' *', ''), at?.getAttribute('placeholder')].join('\\n')
  })()`
  const passed: string[] = []
  for (let count = 0; count < tabsMax; count++) {
    const words = await page.evaluate<string>(called)
    if (words.split('\n').some((line) => line.trim() === name)) return
    passed.push(words.trim().split('\n')[0]!)
    await page.keyboard.press('Tab')
  }
  assert.fail(`Tab does not lead to "${name}", but to: ${passed.join(', ')}`)
}

/** Presses an arrow key, once the menu has the focus, until the item of this name has it. @throws Error when it never does. */
async function moveTo(page: Page, arrow: 'ArrowDown' | 'ArrowUp', name: string): Promise<void> {
  // Not waitForFunction: it evaluates text in the page later on, which the page's Content-Security-Policy may refuse.
  await until('the menu to have the focus', () =>
    page.evaluate<boolean>("document.activeElement?.closest('[role=menu]') != null"),
  )
  for (let count = 0; count < tabsMax; count++) {
    if ((await page.evaluate<string>("document.activeElement?.innerText ?? ''")).trim() === name) return
    await page.keyboard.press(arrow)
  }
  assert.fail(`${arrow} does not lead to "${name}"`)
}

type OnView = {
  readonly input: CreatedInput
  /** An account without live inputs. */
  readonly empty: string
}

/** Each page as it looks with something on it. */
async function tour(
  stage: Stage,
  page: Page,
  { input, empty }: OnView,
  see: (what: string) => Promise<void>,
): Promise<void> {
  const { server } = stage
  await page.goto(pages.inputs(server))
  await page.getByRole('link', { name: 'On view' }).waitFor()
  await see('the list')
  await page.goto(pages.input(server, input))
  await row(page, 'Steady').getByText('Live', { exact: true }).waitFor()
  await row(page, 'Missing').getByText('could not be resolved').waitFor()
  await row(page, 'Steady').getByRole('button', { name: 'Details of Steady' }).click()
  await row(page, 'Steady').getByText('What happened').waitFor()
  await see('a live input')
  await page.getByRole('button', { name: 'Add output' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Kick' }).waitFor()
  await see('the platforms')
  await press(page, 'Kick')
  await field(page, 'Stream key').fill('re_1_abc')
  await page.getByText('This looks like a Restream key').waitFor()
  await see('the form of an output')
  const dialog = page.getByRole('dialog')
  const leaveDialog = async () => {
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
  }
  await leaveDialog()
  await choose(page, 'Missing', 'Test the destination')
  await dialog.getByText('The test failed.').waitFor()
  await see('a test of a destination')
  await leaveDialog()
  await choose(page, 'Off', 'Delete')
  await dialog.getByRole('button', { name: 'Delete the output' }).waitFor()
  await see('the question before something is deleted')
  await leaveDialog()
  await page.goto(pages.settings(server))
  await page.getByRole('heading', { name: 'Limits' }).waitFor()
  await row(page, 'A live input goes on air, to Seen').getByText('Delivered', { exact: true }).waitFor()
  await see('the settings')
  await page.getByRole('button', { name: 'Create token' }).click()
  await field(page, 'Name').waitFor()
  await see('the form of a token')
  await leaveDialog()
  await page.getByRole('button', { name: 'Add webhook' }).click()
  await field(page, 'Url').waitFor()
  await see('the form of a webhook')
  await leaveDialog()
  await page.goto(`/#/${empty}/inputs`)
  await page.getByRole('heading', { level: 1, name: 'Send once, be live everywhere' }).waitFor()
  await see('an account without live inputs')
  await page.goto('/#/nowhere')
  await page.getByText('There is nothing here').waitFor()
  await see('an address that leads nowhere')
}

export const looksScenes: Scenes = (stage) => {
  let onView: OnView
  before(async () => {
    const { server, nginx } = stage()
    const input = await server.createInput({ meta: { name: 'On view' } })
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'steady-view', name: 'Steady' })
    await server.addOutput(input.uid, { url: 'rtmp://no-such-host.example/live', streamKey: 'k', name: 'Missing' })
    await server.addOutput(input.uid, { url: 'rtmp://127.0.0.1:9/live', streamKey: 'k', name: 'Off', enabled: false })
    const made = await server.api<{ id: string }>('POST', '/client/v4/accounts', { name: 'Empty' })
    onView = { input, empty: made.json.result.id }
    const account = `/client/v4/accounts/${server.accountId}`
    await server.api('POST', `${account}/tokens`, { name: 'On view', scopes: ['Stream Read'] })
    const receiver = await startReceiver()
    stage().use(receiver)
    const alerting = `${account}/alerting/v3`
    const hook = await server.api<{ id: string }>('POST', `${alerting}/destinations/webhooks`, {
      name: 'Seen',
      url: receiver.url,
    })
    await server.api('POST', `${alerting}/policies`, {
      name: 'Seen',
      alert_type: 'stream_live_notifications',
      mechanisms: { webhooks: [{ id: hook.json.result.id }] },
      filters: { input_id: [input.uid] },
    })
    stage().use(await stage().encode(input))
  })

  test('axe-core finds nothing serious on any page, light or dark', { timeout: sceneMs }, async () => {
    const both = async (visitor: Visitor, what: string) => {
      const dialogs = visitor.page.getByRole('dialog')
      for (const colorScheme of ['light', 'dark'] satisfies Colours[]) {
        await visitor.page.emulateMedia({ colorScheme })
        await visitor.page.locator(`html[data-mantine-color-scheme=${colorScheme}]`).waitFor()
        await visitor.assertAccessible(
          `${what}, ${colorScheme}`,
          (await dialogs.count()) > 0 ? '[role=dialog]' : 'html',
        )
      }
    }
    await using stranger = await Visitor.enter(stage().browser, stage().server.origin, { expected: /status of 401/ })
    await stranger.page.goto('/')
    await stranger.page.getByRole('textbox', { name: 'API token' }).waitFor()
    await both(stranger, 'the sign-in')
    await stranger.leave()
    await using person = await stage().visitor()
    await tour(stage(), person.page, onView, (what) => both(person, what))
    await person.leave()
  })

  test('on a phone no page scrolls sideways', { timeout: sceneMs }, async () => {
    await using person = await stage().visitor({ viewport: phone, context: { hasTouch: true, isMobile: true } })
    await tour(stage(), person.page, onView, (what) => person.assertNoSidewaysScroll(what))
    await person.leave()
  })

  test('a page is there at once, and what comes later moves nothing', { timeout: sceneMs }, async (t) => {
    const { server } = stage()
    await using person = await stage().visitor()
    const { page } = person
    const measure = async (
      what: string,
      address: string,
      button: string,
      last: Locator,
      shiftMax = layoutShiftMax.alone,
    ) => {
      await page.goto('about:blank')
      const begun = performance.now()
      await page.goto(address, { waitUntil: 'commit' })
      await page.getByRole('heading', { level: 1 }).waitFor()
      // All that a click waits for, and no click.
      await page.getByRole('button', { name: button }).first().click({ trial: true })
      const readyMs = Math.round(performance.now() - begun)
      await last.waitFor()
      const shift = await page.evaluate<number>(layoutShift)
      t.diagnostic(`${what}: usable after ${readyMs} ms, layout shift ${shift.toFixed(4)}`)
      assert.ok(shift < shiftMax, `${what} moves by ${shift}`)
      return readyMs
    }
    const times = [
      await measure(
        'the list',
        pages.inputs(server),
        'Create live input',
        page.getByRole('link', { name: 'On view', exact: true }),
        layoutShiftMax.shared,
      ),
      await measure(
        'a live input',
        pages.input(server, onView.input),
        'Add output',
        row(page, 'Missing').getByText('could not be resolved'),
      ),
      await measure(
        'the settings',
        `/#/${onView.empty}/settings`,
        'Create token',
        page.getByText(process.version, { exact: true }),
      ),
    ]
    assert.ok(Math.min(...times) < readyMsMax, `usable after ${times.join(', ')} ms`)
    await person.leave()
  })

  test('a live input moves nothing, whatever of it comes late', { timeout: sceneMs }, async (t) => {
    const { server } = stage()
    for (const shuffle of [1, 2, 4]) {
      await using person = await stage().visitor()
      const { page } = person
      let asked = 0
      await page.route('**', async (route) => {
        asked += 1
        await delay(((asked * shuffle) % lateStepCount) * lateStepMs)
        await route.continue()
      })
      await page.goto(pages.input(server, onView.input), { waitUntil: 'commit' })
      await row(page, 'Missing').getByText('could not be resolved').waitFor()
      await page.getByRole('button', { name: 'Add output' }).click({ trial: true })
      await page.locator('canvas').first().waitFor()
      const shift = await page.evaluate<number>(layoutShift)
      t.diagnostic(`order ${shuffle}: layout shift ${shift.toFixed(4)}`)
      assert.ok(shift < layoutShiftMax.alone, `order ${shuffle} moves by ${shift}`)
      await page.unrouteAll({ behavior: 'ignoreErrors' })
      await person.leave()
    }
  })

  test('light and dark follow the system, or what one has chosen', { timeout: sceneMs }, async () => {
    await using person = await stage().visitor({ colours: 'dark' })
    const { page } = person
    await page.goto(pages.inputs(stage().server))
    await page.getByRole('heading', { level: 1 }).waitFor()
    /** 0 black, 765 white. */
    const ground = async () => {
      const colour = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
      return (colour.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)
    }
    const isDark = () => until('a dark page', async () => (await ground()) < 150)
    await isDark()
    await page.emulateMedia({ colorScheme: 'light' })
    await until('a light page', async () => (await ground()) > 600)
    await page.getByRole('button', { name: 'Light or dark' }).click()
    await page.getByRole('menuitem', { name: 'Dark' }).click()
    await isDark()
    await page.reload()
    await page.getByRole('heading', { level: 1 }).waitFor()
    await isDark()
    await person.leave()
  })

  test('everything is within reach of the keyboard', { timeout: sceneMs }, async () => {
    const { server, nginx } = stage()
    await using person = await stage().visitor()
    const { page } = person
    const { keyboard } = page
    await page.goto(pages.inputs(server))
    await page.getByRole('button', { name: 'Create live input' }).waitFor()
    await tabTo(page, 'Create live input')
    await keyboard.press('Enter')
    await field(page, 'Name').waitFor()
    await keyboard.type('By keyboard')
    await keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'By keyboard' }).waitFor()
    await page.getByRole('button', { name: 'Add output' }).waitFor()
    await tabTo(page, 'Add output')
    await keyboard.press('Enter')
    await page.getByRole('dialog').getByRole('textbox', { name: 'Search a platform' }).waitFor()
    await keyboard.type('trovo')
    await tabTo(page, 'Trovo')
    await keyboard.press('Enter')
    await field(page, 'Stream key').waitFor()
    await tabTo(page, 'Stream key')
    await keyboard.type('a-key-of-trovo')
    await keyboard.press('Enter')
    await row(page, 'Trovo').waitFor()

    await tabTo(page, 'Send to Trovo')
    await keyboard.press('Space')
    await row(page, 'Trovo').getByText('Off', { exact: true }).waitFor()
    await tabTo(page, 'Details of Trovo')
    await keyboard.press('Enter')
    await row(page, 'Trovo').getByText('What happened').waitFor()
    await tabTo(page, 'More for Trovo')
    await keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Edit' }).waitFor()
    await moveTo(page, 'ArrowDown', 'Edit')
    await keyboard.press('Enter')
    await field(page, 'Server url').waitFor()
    await tabTo(page, 'Server url')
    await keyboard.press('Control+A')
    await keyboard.type(nginx.url())
    await keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await tabTo(page, 'More for Trovo')
    await keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Delete' }).waitFor()
    await moveTo(page, 'ArrowUp', 'Delete')
    await keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await tabTo(page, 'Delete the output')
    await keyboard.press('Enter')
    await row(page, 'Trovo').waitFor({ state: 'detached' })
    // The row is gone as soon as one has pressed.
    const uid = page.url().split('/').at(-1)!
    await until('the output to be deleted', async () => (await server.outputs(uid)).length === 0)
    await person.leave()
  })
}
