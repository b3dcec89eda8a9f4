/** Each viewer takes the whole feed: a control room looks, an audience has players of its own. */
export const previewsPerInputMax = 4
/** Half of all: one account does not shut out the others. */
export const previewsPerAccountMax = 16
export const previewsMax = 32
