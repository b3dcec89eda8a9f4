/**
 * Whether a decoder can begin with a frame that the encoder calls a key frame, and show all that follows:
 * `closed`, it can (IDR); `open`, frames that follow it refer to what was before (a recovery point of H.264 without IDR, CRA of H.265).
 */
export type KeyFrameKind = 'closed' | 'open' | 'unknown'

/** Parameter sets, delimiters and SEI before the picture: more than this is not looked through. */
const nalsBeforePictureMax = 32
const avc = { firstPicture: 1, idr: 5 } as const
/** Table 7-1 of H.265: pictures are types 0 to 31; BLA, IDR and CRA are 16 to 21. */
const hevc = { pictureMax: 31, brokenLink: 16, cra: 21 } as const

/**
 * Looks at the first picture of a frame: | length | NAL unit | length | NAL unit | …
 * @param start, end where the frame lies in `body`. @param nalLengthBytes of VideoFormat.
 */
export function keyFrameKind(
  codec: string,
  body: Buffer,
  start: number,
  end: number,
  nalLengthBytes: number,
): KeyFrameKind {
  if (codec !== 'avc1' && codec !== 'hvc1') return 'unknown'
  let at = start
  for (let count = 0; count < nalsBeforePictureMax && at + nalLengthBytes < end; count++) {
    const length = body.readUIntBE(at, nalLengthBytes)
    at += nalLengthBytes
    if (length > 0) {
      const kind = codec === 'avc1' ? avcKind(body[at]! & 0x1f) : hevcKind((body[at]! >> 1) & 0x3f)
      if (kind !== undefined) return kind
    }
    at += length
  }
  return 'unknown'
}

/** Undefined: no picture. */
function avcKind(type: number): KeyFrameKind | undefined {
  if (type < avc.firstPicture || type > avc.idr) return undefined
  return type === avc.idr ? 'closed' : 'open'
}

function hevcKind(type: number): KeyFrameKind | undefined {
  if (type > hevc.pictureMax) return undefined
  return type >= hevc.brokenLink && type < hevc.cra ? 'closed' : type === hevc.cra ? 'open' : 'unknown'
}
