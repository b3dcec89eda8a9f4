import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../support/server.ts'
import { row } from './outputs.ts'
import { pages, readyDeadlineMs, type Scenes, sceneMs } from './stage.ts'

/** What a browser writes down of a server that does not answer. */
const expected = /ERR_|status of 401|Failed to load|ERR_CONNECTION/

export const connectionScenes: Scenes = (stage) => {
  test('a server that is not heard: said, figures are old, and all is well again by itself', {
    timeout: sceneMs,
  }, async () => {
    const { nginx } = stage()
    await using server = await startServer({ hosts: {}, readyDeadlineMs })
    const input = await server.createInput({ meta: { name: 'Lost and found' } })
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'lost', name: 'Archive' })
    await using _encoder = await stage().encode(input, server)
    await using person = await stage().visitor({ expected }, server)
    const { page } = person
    await page.goto(pages.input(server, input))
    const archive = row(page, 'Archive')
    await archive.getByText('Live', { exact: true }).waitFor()
    const bitrate = archive.getByText(/^\d+ kb\/s$/)
    await bitrate.waitFor()
    const lost = page.getByText('Connection to the server lost')
    assert.equal(await lost.count(), 0)

    // It hangs: connections stay up, and nothing comes.
    server.program.pause()
    await lost.waitFor()
    await archive.locator('[data-stale]').waitFor()
    server.program.resume()
    await lost.waitFor({ state: 'detached' })
    await archive.locator('[data-stale]').waitFor({ state: 'detached' })
    await bitrate.waitFor()

    // It is gone, and comes back at the same ports; who was signed in does it again, and is where he was.
    await server.kill()
    await lost.waitFor()
    await server.start()
    const token = page.getByRole('textbox', { name: 'API token' })
    await token.fill(server.token)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await archive.waitFor()
    assert.equal(await lost.count(), 0)
    await person.leave()
  })
}
