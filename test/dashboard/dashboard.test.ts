import { after, before, describe } from 'node:test'
import { needs } from '../support/requirements.ts'
import { bundleScenes } from './bundle.ts'
import { connectionScenes } from './connection.ts'
import { hostileScenes } from './hostile.ts'
import { inputScenes } from './inputs.ts'
import { liveScenes } from './live.ts'
import { looksScenes } from './looks.ts'
import { manyScenes } from './many.ts'
import { outputScenes } from './outputs.ts'
import { settingsScenes } from './settings.ts'
import { signInScenes } from './sign-in.ts'
import { Stage } from './stage.ts'

/**
 * The dashboard in Debian's Chromium, against the real server, FFmpeg as encoder and nginx-rtmp as destination. All scenes share one of
 * each, and go on side by side, as most of each is waiting; a scene that stops its server has one of its own.
 */
describe('the dashboard', { concurrency: 3, ...needs('chromium', 'ffmpeg', 'nginx-rtmp') }, () => {
  let stage: Stage
  before(async () => {
    stage = await Stage.open()
  })
  after(() => stage?.[Symbol.asyncDispose]())

  const scenes = [
    liveScenes,
    connectionScenes,
    outputScenes,
    inputScenes,
    settingsScenes,
    signInScenes,
    hostileScenes,
    manyScenes,
    looksScenes,
    bundleScenes,
  ]
  for (const add of scenes) add(() => stage)
})
