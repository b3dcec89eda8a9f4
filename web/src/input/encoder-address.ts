import type { WireLiveInput } from '../../../src/api/schemas.ts'

export type Protocol = 'rtmps' | 'rtmp'
export type EncoderAddress = { readonly protocol: Protocol; readonly server: string; readonly streamKey: string }

/** Where an encoder sends to, by every way that is open, the encrypted one first. */
export function addressesOf({ rtmps, rtmp }: Pick<WireLiveInput, 'rtmps' | 'rtmp'>): readonly EncoderAddress[] {
  const of = (protocol: Protocol, endpoint: { url: string; streamKey: string } | undefined) =>
    endpoint === undefined ? [] : [{ protocol, server: endpoint.url, streamKey: endpoint.streamKey }]
  return [...of('rtmps', rtmps), ...of('rtmp', rtmp)]
}

/** For encoders that have one field for both. */
export function joined({ server, streamKey }: Pick<EncoderAddress, 'server' | 'streamKey'>): string {
  return `${server.replace(/\/+$/, '')}/${streamKey}`
}

/** A file, sent as an encoder would: H.264 and AAC, a key frame every two seconds. In quotes, as shells want it. */
export function ffmpegCommand(address: Pick<EncoderAddress, 'server' | 'streamKey'>): string {
  return [
    'ffmpeg -re -i video.mp4',
    '-c:v libx264 -preset veryfast -b:v 4500k -maxrate 4500k -bufsize 9000k -pix_fmt yuv420p',
    `-force_key_frames "expr:gte(t,n_forced*2)" -c:a aac -b:a 160k -ar 48000`,
    `-f flv "${joined(address)}"`,
  ].join(' ')
}
