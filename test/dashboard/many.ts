import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from './browser.ts'
import { type Scenes, sceneMs } from './stage.ts'

const inputsCount = 1_000
/** Of a window of 800 pixels, with what is kept ready above and below it. */
const rowsMax = 60
const atOnce = 20
const needle = 777

export const manyScenes: Scenes = (stage) => {
  test('of a thousand live inputs only those near the window are in the page', { timeout: sceneMs }, async () => {
    const { server } = stage()
    const made = await server.api<{ id: string }>('POST', '/client/v4/accounts', { name: 'A thousand' })
    const account = made.json.result.id
    let next = 1
    const create = async () => {
      while (next <= inputsCount) {
        const number = next++
        // The search goes through ids, too, which any digits may be a part of.
        const name = `${number === needle ? 'Needle' : 'Camera'} ${String(number).padStart(4, '0')}`
        const { status } = await fetch(`${server.baseUrl}/accounts/${account}/stream/live_inputs`, {
          method: 'POST',
          headers: { authorization: `Bearer ${server.token}` },
          body: JSON.stringify({ meta: { name } }),
        })
        assert.equal(status, 200)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, create))

    await using person = await stage().visitor()
    const { page } = person
    await page.goto(`/#/${account}/inputs`)
    await page.getByText(`${inputsCount} in all`).waitFor()
    await page.getByRole('combobox', { name: 'Order' }).selectOption({ label: 'Name' })
    const rows = page.getByRole('row')
    const bounded = async (where: string) => {
      const count = await rows.count()
      assert.ok(count > 5 && count <= rowsMax, `${count} rows ${where}`)
    }
    await page.getByRole('link', { name: 'Camera 0001' }).waitFor()
    await bounded('at the top')
    assert.equal(await page.getByRole('table').getAttribute('aria-rowcount'), `${inputsCount + 1}`)
    for (const part of [0.25, 0.5, 0.75]) {
      await page.evaluate(`scrollTo(0, document.documentElement.scrollHeight * ${part})`)
      await page
        .getByRole('link', { name: new RegExp(`^Camera 0?${Math.round(inputsCount * part) / 100}`) })
        .first()
        .waitFor()
      await bounded(`at ${part}`)
    }
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)')
    await page.getByRole('link', { name: 'Camera 1000' }).waitFor()
    await bounded('at the end')
    await page.getByRole('searchbox', { name: 'Search by name or id' }).fill('needle')
    await page.getByText(`1 of ${inputsCount}`).waitFor()
    await until('one row and the head', async () => (await rows.count()) === 2)
    await page.getByRole('link', { name: 'Needle 0777' }).waitFor()
    await person.leave()
  })
}
