/** What a video sequence header says of the picture. What cannot be read is undefined. */
export type VideoFormat = {
  /** As the specification calls it: "High", "Main 10". */
  readonly profile: string | undefined
  /** As the specification writes it: "4.2", "1b". */
  readonly level: string | undefined
  /** Pixels that are shown: the cropping is taken off. */
  readonly width: number | undefined
  readonly height: number | undefined
  /** Frames a second that the encoder means to send, where it says so. */
  readonly frameRate: number | undefined
  /** H.264 and H.265: so many bytes say the length of each NAL unit in a frame, 1 to 4. */
  readonly nalLengthBytes: number | undefined
}

export const unknownVideo: VideoFormat = {
  profile: undefined,
  level: undefined,
  width: undefined,
  height: undefined,
  frameRate: undefined,
  nalLengthBytes: undefined,
}

/** The largest that H.264, H.265 and AV1 levels allow on one side is below; a larger size is nonsense. */
const pixelsMax = 16_384
/** A second: what is outside is nonsense. */
const frameRates = { min: 0.1, max: 1_000 }

/** Both, or neither. */
export function size(width: number, height: number): Pick<VideoFormat, 'width' | 'height'> {
  if (width >= 1 && height >= 1 && width <= pixelsMax && height <= pixelsMax) return { width, height }
  return { width: undefined, height: undefined }
}

/** @param ticks of 1 / timeScale seconds, that a frame lasts. */
export function declaredFrameRate(timeScale: number, ticks: number): number | undefined {
  const rate = timeScale / ticks
  // NaN and Infinity, of nothing by nothing, are not in the range either.
  return rate >= frameRates.min && rate <= frameRates.max ? Math.round(rate * 1000) / 1000 : undefined
}
