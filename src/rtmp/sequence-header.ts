import {
  type AudioFormat,
  readAudioSpecificConfig,
  readFlacHeader,
  readMp3Frame,
  readOpusHead,
  unknownAudio,
} from './audio-format.ts'
import { readAv1Configuration } from './av1-configuration.ts'
import { readAvcConfiguration } from './avc-configuration.ts'
import { readHevcConfiguration } from './hevc-configuration.ts'
import { unknownVideo, type VideoFormat } from './video-format.ts'
import { readVpConfiguration } from './vp9-configuration.ts'

/**
 * Sequence headers: what an encoder says of its picture and its sound to the decoder, and so cannot lie about (onMetaData often does).
 * Whatever the bytes, nothing throws; what cannot be read is undefined.
 */

/** A configuration of a real encoder has some kilobytes at most (x265 puts its settings in); no more is looked at. */
const configurationBytesMax = 64 * 1024

/**
 * @param codec FourCC, as in MediaMessage.
 * @param configuration the record of the codec: the message without what RTMP puts in front of it.
 */
export function readVideoFormat(codec: string, configuration: Buffer): VideoFormat {
  const record = configuration.subarray(0, configurationBytesMax)
  switch (codec) {
    case 'avc1':
      return readAvcConfiguration(record)
    case 'hvc1':
      return readHevcConfiguration(record)
    case 'av01':
      return readAv1Configuration(record)
    case 'vp08':
    case 'vp09':
      return readVpConfiguration(record)
    default:
      return unknownVideo
  }
}

/** AC-3 and its like have no configuration, and MP3 none but its frames' own headers. */
export function readAudioFormat(codec: string, configuration: Buffer): AudioFormat {
  const record = configuration.subarray(0, configurationBytesMax)
  switch (codec) {
    case 'mp4a':
      return readAudioSpecificConfig(record)
    case 'Opus':
      return readOpusHead(record)
    case 'fLaC':
      return readFlacHeader(record)
    case '.mp3':
      return readMp3Frame(record) ?? unknownAudio
    default:
      return unknownAudio
  }
}
