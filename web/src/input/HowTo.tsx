import { Tabs } from '@mantine/core'
import { CopyButton } from '../parts/CopyButton.tsx'
import { type EncoderAddress, ffmpegCommand, joined } from './encoder-address.ts'
import styles from './HowTo.module.css'

const hidden = '••••••••'

/** What to press in the encoders that most people have. */
export function HowTo({ address }: { readonly address: EncoderAddress }) {
  const masked = { ...address, streamKey: hidden }
  return (
    <Tabs defaultValue="obs" className={styles['tabs'] ?? ''} keepMounted={false}>
      <Tabs.List aria-label="How to set up">
        <Tabs.Tab value="obs">OBS</Tabs.Tab>
        <Tabs.Tab value="ffmpeg">FFmpeg</Tabs.Tab>
        <Tabs.Tab value="vmix">vMix</Tabs.Tab>
        <Tabs.Tab value="hardware">Hardware</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="obs">
        <ol className={styles['steps']}>
          <li>
            Open <b>Settings</b>, <b>Stream</b>, and choose the service <b>Custom…</b>
          </li>
          <li>
            Paste the server and the stream key, and leave <b>Use authentication</b> off.
          </li>
          <li>
            Under <b>Output</b>, set the keyframe interval to <b>2 s</b> and the audio to AAC.
          </li>
          <li>
            Press <b>Start Streaming</b>.
          </li>
        </ol>
      </Tabs.Panel>
      <Tabs.Panel value="ffmpeg">
        <p className={styles['words']}>Sends the file video.mp4 in real time, with a key frame every 2 s:</p>
        <pre className={styles['command']}>{ffmpegCommand(masked)}</pre>
        <CopyButton
          value={ffmpegCommand(address)}
          label="Copy the command with the stream key"
          words="Copy with the key"
        />
      </Tabs.Panel>
      <Tabs.Panel value="vmix">
        <ol className={styles['steps']}>
          <li>
            Press the cog beside <b>Stream</b>, and choose the destination <b>Custom RTMP Server</b>.
          </li>
          <li>
            Paste the server as <b>URL</b>, and the stream key as <b>Stream Name or Key</b>.
          </li>
          <li>
            As quality, choose <b>H264</b> with a keyframe interval of <b>2 s</b>.
          </li>
          <li>
            Press <b>Save and Close</b>, then <b>Stream</b>.
          </li>
        </ol>
      </Tabs.Panel>
      <Tabs.Panel value="hardware">
        <ol className={styles['steps']}>
          <li>
            Choose <b>{address.protocol.toUpperCase()}</b>, also called “custom” or “generic” RTMP.
          </li>
          <li>Enter the server as destination or URL, and the stream key as key, stream or stream name.</li>
          <li>H.264, AAC, constant bitrate, a GOP of 2 s (60 frames at 30 fps), no user name.</li>
          <li>Where there is one field for both, paste them joined:</li>
        </ol>
        <pre className={styles['command']}>{joined(masked)}</pre>
        <CopyButton value={joined(address)} label="Copy server and stream key joined" words="Copy with the key" />
      </Tabs.Panel>
    </Tabs>
  )
}
