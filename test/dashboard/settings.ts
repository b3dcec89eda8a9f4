import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { publish } from '../support/publisher.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { until } from './browser.ts'
import { diskFull, field, press, row } from './outputs.ts'
import { startReceiver } from './receiver.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

export const settingsScenes: Scenes = (stage) => {
  test('a token is created, shown once, used and revoked', { timeout: sceneMs }, async () => {
    const { server } = stage()
    await using person = await stage().visitor({ expected: /status of 400/ })
    const { page } = person
    await page.goto(pages.settings(server))
    await page.getByRole('button', { name: 'Create token' }).click()
    await press(page, 'Create token')
    await page.getByRole('dialog').getByText('Must not be empty').waitFor()
    await field(page, 'Name').fill('Control room')
    await page.getByRole('dialog').getByRole('checkbox', { name: 'Change' }).check()
    await page.getByRole('dialog').getByRole('combobox', { name: 'Expires' }).selectOption({ label: 'In 30 days' })
    await press(page, 'Create token')
    const shown = page.getByRole('dialog').getByText(/^sct_[\w-]{43}$/)
    const token = await shown.innerText()
    await page.getByRole('dialog').getByRole('button', { name: 'Copy the token' }).click()
    assert.equal(await page.evaluate('navigator.clipboard.readText()'), token)
    await press(page, 'I have copied it')
    assert.equal(await page.getByText(token).count(), 0)

    const inputs = () =>
      fetch(`${server.baseUrl}/accounts/${server.accountId}/stream/live_inputs`, {
        headers: { authorization: `Bearer ${token}`, connection: 'close' },
      })
    assert.equal((await inputs()).status, 200)
    const line = page.getByRole('listitem', { name: 'Control room' })
    await line.getByText('Read · Change').waitFor()
    await line.getByText('in 29 d').waitFor()
    await line.getByRole('button', { name: 'Revoke Control room' }).click()
    await press(page, 'Revoke the token')
    await line.waitFor({ state: 'detached' })
    await until('the token to be refused', async () => (await inputs()).status === 403)
    await person.leave()
  })

  test('what the token may not do is not offered', { timeout: sceneMs }, async () => {
    const { server } = stage()
    const { json } = await server.api<{ value: string }>('POST', `/client/v4/accounts/${server.accountId}/tokens`, {
      name: 'Looks on',
      scopes: ['Stream Read'],
    })
    await using person = await stage().visitor({ expected: /status of 403/, token: json.result.value })
    const { page } = person
    await page.goto(pages.settings(server))
    await page.getByText('may not manage tokens').waitFor()
    await page.getByRole('heading', { name: 'Addresses' }).waitFor()
    await page.getByRole('heading', { name: 'Webhooks' }).waitFor()
    assert.equal(await page.getByRole('button', { name: /^(Create token|Add webhook)$/ }).count(), 0)

    const input = await server.createInput()
    await server.addOutput(input.uid, { url: 'rtmp://127.0.0.1:9/live', streamKey: 'k', name: 'Looked at' })
    await page.goto(pages.input(server, input))
    await row(page, 'Looked at').waitFor()
    assert.equal(await row(page, 'Looked at').getByRole('switch').isDisabled(), true)
    assert.equal(await page.getByRole('button', { name: /^(Add output|All off|More for Looked at)$/ }).count(), 0)
    await person.leave()
  })

  test('a webhook of both dialects is tested, told, and told again', { timeout: sceneMs }, async () => {
    const { server } = stage()
    await using receiver = await startReceiver()
    await using person = await stage().visitor({ expected: /status of (400|507)/ })
    const { page } = person
    await page.goto(pages.settings(server))
    await page.getByRole('button', { name: 'Add webhook' }).click()
    await field(page, 'Name').fill('Bot')
    await field(page, 'Url').fill(receiver.url)
    await field(page, 'Secret').fill('a secret of ours')
    receiver.answer.status = 500
    await press(page, 'Test and add')
    await page.getByRole('dialog').getByText('The receiver answered 500').waitFor()
    receiver.answer.status = 204
    // What it is told is refused: then the receiver is not kept either, as nobody has seen its signing secret.
    const alerting = `/client/v4/accounts/${server.accountId}/alerting/v3`
    await page.route('**/policies', (route) =>
      route.request().method() === 'POST' ? route.fulfill({ status: 507, json: diskFull }) : route.continue(),
    )
    await press(page, 'Test and add')
    await page.getByRole('dialog').getByText('Not saved: The disk is full.').waitFor()
    const { json: kept } = await server.api<{ name: string }[]>('GET', `${alerting}/destinations/webhooks`)
    assert.deepEqual(
      kept.result.filter(({ name }) => name === 'Bot'),
      [],
    )
    await page.unroute('**/policies')
    await press(page, 'Test and add')
    const secret = await page
      .getByRole('dialog')
      .getByText(/^whsec_/)
      .innerText()
    await press(page, 'I have copied it')
    const line = page.getByRole('listitem', { name: 'Bot', exact: true })
    await line.getByText('a live input goes on air').waitFor()
    await line.getByRole('button', { name: 'Send test to Bot' }).click()
    await line.getByText('The test was delivered: HTTP 204').waitFor()

    const input = await server.createInput({ meta: { name: 'Told of' } })
    await using encoder = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    const sending = new AbortController()
    const sent = encoder.replay(syntheticTags({ kbps: 500, fps: 30, gopMs: 1_000 }), { signal: sending.signal })
    const ofInput = () => receiver.received.filter(({ body }) => body.includes(input.uid))
    await until('the notification', () => ofInput().length === 1)
    const [told] = ofInput()
    assert.equal(told!.headers['cf-webhook-auth'], 'a secret of ours')
    new Webhook(secret).verify(told!.body, told!.headers as Record<string, string>)

    const delivery = page
      .getByRole('listitem', { name: 'A live input goes on air, to Bot' })
      .filter({ hasText: 'Told of' })
    await delivery.getByText('Delivered', { exact: true }).waitFor()
    await delivery.getByText(/^HTTP 204 in \d+ ms$/).waitFor()
    await delivery.getByRole('button', { name: /^Send again/ }).click()
    await until('the same notification again', () => ofInput().length === 2)
    assert.equal(ofInput()[1]!.headers['webhook-id'], told!.headers['webhook-id'])
    sending.abort()
    await sent

    await line.getByRole('button', { name: 'More for Bot' }).click()
    await page.getByRole('menuitem', { name: 'Edit' }).click()
    await page.getByRole('dialog').getByRole('checkbox', { name: 'An output is refused' }).check()
    await press(page, 'Save')
    await line.getByText('an output is refused').waitFor()
    await line.getByRole('button', { name: 'More for Bot' }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await press(page, 'Delete the webhook')
    await line.waitFor({ state: 'detached' })
    const policies = () => server.api<{ name: string }[]>('GET', `${alerting}/policies`)
    await until('its policy to be gone', async () => (await policies()).json.result.every(({ name }) => name !== 'Bot'))
    await person.leave()
  })

  test('addresses, limits and version are those of the server', { timeout: sceneMs }, async () => {
    const { server } = stage()
    await using person = await stage().visitor()
    const { page } = person
    await page.goto(pages.settings(server))
    await page.getByText(`rtmp://localhost:${server.ports.rtmp}/live/`, { exact: true }).waitFor()
    await page.getByText(`rtmps://localhost:${server.ports.rtmps}/live/`, { exact: true }).waitFor()
    await page.getByText(server.accountId, { exact: true }).waitFor()
    await page.getByText(process.version, { exact: true }).waitFor()
    await person.leave()
  })
}
