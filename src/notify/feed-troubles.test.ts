import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InputFigures, InputHealth } from '../model/status.ts'
import { type FeedTrouble, FeedTroubles } from './feed-troubles.ts'

function figures(warnings: readonly string[], health: Partial<InputHealth> = {}): InputFigures {
  return {
    accountId: 'a',
    inputId: 'i',
    at: '',
    input: {
      bitrateKbps: 1,
      bytesReceived: 1,
      video: { codec: 'avc1' },
      audio: { codec: 'mp4a' },
      ...health,
      warnings: warnings.map((code) => ({ code, message: `about ${code}` })),
    },
    outputs: {},
  } as unknown as InputFigures
}

/** Observes the same once a second. */
function observing(watch = new FeedTroubles()) {
  let nowMs = 0
  return {
    watch,
    for(seconds: number, seen: InputFigures): FeedTrouble[] {
      const told: FeedTrouble[] = []
      for (let second = 0; second < seconds; second++) {
        nowMs += 1_000
        told.push(...watch.observe(seen, nowMs))
      }
      return told
    },
  }
}

test('a trouble that lasts is told once, and again when it had been gone for a minute', () => {
  const seen = observing()
  const slow = figures(['upload_slow', 'bitrate_high'])
  assert.deepEqual(seen.for(5, figures([])), [])
  assert.deepEqual(seen.for(10, slow), [])
  assert.deepEqual(seen.for(60, slow), [
    { code: 'ERR_UNHEALTHY', message: 'about upload_slow', videoCodec: 'avc1', audioCodec: 'mp4a' },
  ])
  assert.deepEqual([seen.for(59, figures([])), seen.for(20, slow)], [[], []])
  assert.deepEqual(seen.for(61, figures([])), [])
  assert.equal(seen.for(20, slow).length, 1)
})

test('a hiccup is none, and neither is what an encoder that went away left behind', () => {
  const seen = observing()
  const missing = figures(['video_missing'])
  seen.for(1, figures([]))
  for (let count = 0; count < 5; count++) {
    assert.deepEqual(seen.for(9, missing), [])
    if (count % 2 === 0) seen.for(1, figures([]))
    else seen.watch.interrupt()
  }
})

test('key frames: none for long, or more than 10 s apart', () => {
  const long = ['keyframe_interval_long']
  const after = (keyframeIntervalMs?: number) => {
    const seen = observing()
    seen.for(1, figures([]))
    const video = { codec: 'avc1', ...(keyframeIntervalMs !== undefined && { keyframeIntervalMs }) }
    return seen.for(30, figures(long, { video })).map(({ code }) => code)
  }
  assert.deepEqual([after(10_000), after(10_001), after()], [[], ['ERR_GOP_OUT_OF_RANGE'], ['ERR_GOP_OUT_OF_RANGE']])
})

test('what a broadcast begins with is told too, and in the next one anew; one trouble hides no other', () => {
  for (const seen of [observing(), observing()]) {
    const codes = (warnings: string[]) => seen.for(30, figures(warnings)).map(({ message }) => message)
    assert.deepEqual(codes(['encoders_fight']), ['about encoders_fight'])
    assert.deepEqual(codes(['encoders_fight', 'video_missing']), ['about video_missing'])
  }
})

test('advice is no error', () => {
  const seen = observing()
  seen.for(1, figures([]))
  const advice = ['bitrate_high', 'keyframe_interval_irregular', 'open_gop', 'audio_missing', 'timestamps_jumped']
  assert.deepEqual(seen.for(60, figures(advice)), [])
})
