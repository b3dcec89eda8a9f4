import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EcmaArray, encodeAmf } from '../support/amf0.ts'
import { startDestination } from '../support/destination.ts'
import { publish } from '../support/publisher.ts'
import { wireTypes } from '../support/rtmp-wire.ts'
import type { Json } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import type { Visitor } from './browser.ts'
import { choose, field, row } from './outputs.ts'
import { startReceiver } from './receiver.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

/** Runs where it is taken for markup: as an element, or as one that ends another. */
const planted = '"><img src=x onerror="globalThis.planted=1"><svg onload="globalThis.planted=2">'
/** An url holds no spaces. */
const plantedInUrl = '"><svg/onload=globalThis.planted=5>'

async function assertNothingGrew({ page }: Visitor, where: string): Promise<void> {
  const found = await page.evaluate<[unknown, number]>(
    `[globalThis.planted ?? null, document.querySelectorAll('img[src="x"], svg[onload], [onerror]').length]`,
  )
  assert.deepEqual(found, [null, 0], where)
}

export const hostileScenes: Scenes = (stage) => {
  test('markup in every text that a stranger can set is text', { timeout: sceneMs }, async () => {
    const { server } = stage()
    /** What the server refuses would prove nothing. */
    const plant = async <Result = Json>(path: string, body: Json): Promise<Result> => {
      const { status, json } = await server.api<Result>('POST', `/client/v4/accounts${path}`, body)
      assert.equal(json.success, true, `${path} answered ${status}: ${JSON.stringify(json.errors)}`)
      return json.result
    }
    const account = `/${server.accountId}`
    await using bad = await startDestination({
      behaviour: { answerPublish: { code: `NetStream.Publish.Denied${planted}`, description: planted } },
    })
    await using rude = await startDestination({ behaviour: { refuseConnect: planted } })
    await using receiver = await startReceiver()
    const input = await server.createInput({
      meta: { name: planted, [planted]: planted },
      defaultCreator: planted.slice(0, 64),
    })
    // A key of its own: that no log may hold.
    const streamKey = `key ${planted}`
    await server.addOutput(input.uid, { url: bad.url(), streamKey, name: planted, username: planted })
    await server.addOutput(input.uid, { url: rude.url(), streamKey, name: 'Rude', enabled: false })
    const tokenName = `Token ${planted}`
    await plant(`${account}/tokens`, { name: tokenName, scopes: ['Stream Read'] })
    await plant('', { name: planted })
    const hookName = `Webhook ${planted}`
    const hookUrl = `${receiver.url}?${plantedInUrl}#${plantedInUrl}`
    const hook = await plant<{ id: string }>(`${account}/alerting/v3/destinations/webhooks`, {
      name: hookName,
      url: hookUrl,
    })
    await plant(`${account}/alerting/v3/policies`, {
      name: planted,
      description: planted,
      alert_type: 'stream_live_notifications',
      enabled: true,
      mechanisms: { webhooks: [{ id: hook.id }] },
      filters: { input_id: [input.uid] },
    })

    await using encoder = await publish({
      url: server.rtmpUrl,
      key: input.rtmps.streamKey,
      connect: { flashVer: planted, pageUrl: planted, swfUrl: planted },
    })
    const metadata = new EcmaArray({
      encoder: planted,
      videocodecid: planted,
      audiocodecid: planted,
      width: 640,
      [planted]: planted,
    })
    encoder.send(wireTypes.data, 0, encodeAmf('@setDataFrame', 'onMetaData', metadata))
    const sending = new AbortController()
    const sent = encoder.replay(syntheticTags({ kbps: 500, fps: 30, gopMs: 1_000 }), { signal: sending.signal })

    await using person = await stage().visitor()
    const { page } = person
    const dialog = page.getByRole('dialog')
    /** @param words that the dialog shows as they are. */
    const seeDialog = async (words: string) => {
      await dialog.getByText(words).first().waitFor()
      await assertNothingGrew(person, `the dialog with ${words}`)
      await page.keyboard.press('Escape')
      await dialog.waitFor({ state: 'detached' })
    }
    await page.goto(pages.input(server, input))
    await row(page, planted).getByText('Not live', { exact: true }).waitFor()
    await row(page, planted)
      .getByRole('button', { name: `Details of ${planted}` })
      .click()
    await row(page, planted).getByText('It says').first().waitFor()
    await page.getByRole('heading', { level: 1, name: planted }).waitFor()
    await page.getByText('kb/s').first().waitFor()
    await assertNothingGrew(person, 'the page of a live input')
    await choose(page, planted, 'Delete')
    await seeDialog(`Delete ${planted}?`)
    await choose(page, 'Rude', 'Test the destination')
    await dialog.getByText('The test failed.').waitFor()
    await seeDialog(planted)

    await page.goto(pages.inputs(server))
    await page.getByRole('link', { name: planted }).waitFor()
    assert.ok((await page.getByRole('combobox', { name: 'Account' }).innerText()).includes(planted))
    await assertNothingGrew(person, 'the list of live inputs')
    await page.getByRole('button', { name: `More for ${planted}` }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await seeDialog(`Delete ${planted}?`)

    await page.goto(pages.settings(server))
    await row(page, tokenName)
      .getByRole('button', { name: `Revoke ${tokenName}` })
      .click()
    await seeDialog(`Revoke ${tokenName}?`)
    await row(page, hookName)
      .getByRole('button', { name: `Send test to ${hookName}` })
      .click()
    await row(page, hookName).getByText('The test was delivered').waitFor()
    await row(page, hookName).getByText(receiver.url).waitFor()
    const delivery = page.getByRole('listitem', { name: `A live input goes on air, to ${hookName}` })
    await delivery.getByRole('link', { name: planted }).waitFor()
    await assertNothingGrew(person, 'the settings')
    await choose(page, hookName, 'Edit')
    assert.ok((await field(page, 'Url').inputValue()).startsWith(receiver.url))
    await seeDialog(`Edit ${hookName}`)
    await choose(page, hookName, 'Delete')
    await seeDialog(`Delete ${hookName}?`)
    sending.abort()
    await sent
    await person.leave()
  })

  test("the page is in no frame, and runs nothing that is not the server's own", { timeout: sceneMs }, async () => {
    const { server } = stage()
    const { headers } = await fetch(`${server.origin}/`, { headers: { connection: 'close' } })
    const policy = Object.fromEntries(
      (headers.get('content-security-policy') ?? '').split(';').map((part) => {
        const [name = '', ...values] = part.trim().split(' ')
        return [name, values.join(' ')]
      }),
    )
    assert.deepEqual(
      [policy['script-src'], policy['frame-ancestors'], policy['default-src']],
      ["'self'", "'none'", "'none'"],
    )

    await using person = await stage().visitor({ expected: /Content.Security.Policy/ })
    const { page } = person
    await page.goto(pages.inputs(server))
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.evaluate(`(() => {
      const script = document.createElement('script')
      script.textContent = 'globalThis.planted = 3'
      document.body.append(script)
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="globalThis.planted=4">')
    })()`)
    assert.equal(await page.evaluate('globalThis.planted ?? null'), null)
    await person.leave()
  })
}
