import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EcmaArray, encodeAmf } from '../support/amf0.ts'
import { startDestination } from '../support/destination.ts'
import { publish } from '../support/publisher.ts'
import { wireTypes } from '../support/rtmp-wire.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import type { Visitor } from './browser.ts'
import { row } from './outputs.ts'
import { pages, type Scenes, sceneMs } from './stage.ts'

/** Runs where it is taken for markup: as an element, or as one that ends another. */
const planted = '"><img src=x onerror="globalThis.planted=1"><svg onload="globalThis.planted=2">'

async function assertNothingGrew({ page }: Visitor, where: string): Promise<void> {
  const found = await page.evaluate<[unknown, number]>(
    `[globalThis.planted ?? null, document.querySelectorAll('img[src="x"], svg[onload], [onerror]').length]`,
  )
  assert.deepEqual(found, [null, 0], where)
}

export const hostileScenes: Scenes = (stage) => {
  test('markup in every text that a stranger can set is text', { timeout: sceneMs }, async () => {
    const { server } = stage()
    await using bad = await startDestination({
      behaviour: { answerPublish: { code: `NetStream.Publish.Denied${planted}`, description: planted } },
    })
    const input = await server.createInput({
      meta: { name: planted, [planted]: planted },
      defaultCreator: planted.slice(0, 64),
    })
    await server.addOutput(input.uid, { url: bad.url(), streamKey: planted, name: planted, username: planted })
    await server.api('POST', `/client/v4/accounts/${server.accountId}/tokens`, {
      name: planted,
      scopes: ['Stream Read'],
    })
    await server.api('POST', `/client/v4/accounts/${server.accountId}/alerting/v3/policies`, { name: planted })

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
    await page.goto(pages.input(server, input))
    await row(page, planted).getByText('Not live', { exact: true }).waitFor()
    await row(page, planted)
      .getByRole('button', { name: `Details of ${planted}` })
      .click()
    await row(page, planted).getByText('It says').first().waitFor()
    await page.getByRole('heading', { level: 1, name: planted }).waitFor()
    await page.getByText('kb/s').first().waitFor()
    await assertNothingGrew(person, 'the page of a live input')
    await page.goto(pages.inputs(server))
    await page.getByRole('link', { name: planted }).waitFor()
    await assertNothingGrew(person, 'the list of live inputs')
    await page.goto(pages.settings(server))
    await page.getByRole('listitem', { name: planted }).first().waitFor()
    await assertNothingGrew(person, 'the settings')
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
