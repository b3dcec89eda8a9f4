/** Each viewer takes the whole feed: a control room looks, an audience has players of its own. */
export const previewsPerInputMax = 4
export const previewsMax = 32
