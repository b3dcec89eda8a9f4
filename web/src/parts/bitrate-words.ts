/** Shown where there is no figure. */
export const noFigure = '–'

/** @returns number and unit, the number with as many digits as keep it steady: "850", "kb/s"; "4.52", "Mb/s"; "12.4", "Mb/s". */
export function bitrateWords(kbps: number): { readonly number: string; readonly unit: string } {
  if (kbps < 1_000) return { number: String(Math.round(kbps)), unit: 'kb/s' }
  const mbps = kbps / 1_000
  return { number: mbps.toFixed(mbps < 10 ? 2 : mbps < 100 ? 1 : 0), unit: 'Mb/s' }
}
