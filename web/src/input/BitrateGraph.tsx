import 'uplot/dist/uPlot.min.css'
import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useMemo, useRef } from 'react'
import UPlot from 'uplot'
import { type BitratePoint, historyMs } from '../api/bitrate-history.ts'
import { useBitrateHistory } from '../api/live.ts'
import { bitrateWords } from '../parts/bitrate-words.ts'
import styles from './BitrateGraph.module.css'

const height = 200
/** Between two figures of a running broadcast lies a second: a longer silence is a gap in the line. */
const gapMs = 4_000
const spanSecondsMin = 120
/** Labels have no seconds. */
const wholeMinutes = [60, 120, 300]

/** What came in over the last ten minutes. */
export function BitrateGraph({ id }: { readonly id: string }) {
  const points = useBitrateHistory(id)
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const scheme = useComputedColorScheme('light')
  const data = useMemo(() => seriesOf(points), [points])
  const newest = useRef(data)
  newest.current = data

  useEffect(() => {
    const element = place.current
    if (element === null) return
    const made = new UPlot(optionsFor(element, scheme), newest.current, element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      plot.current = undefined
      made.destroy()
    }
  }, [scheme])

  useEffect(() => plot.current?.setData(data), [data])

  return (
    <figure className={styles['figure']}>
      <figcaption>Incoming bitrate, last 10 minutes</figcaption>
      <div ref={place} className={styles['graph']} role="img" aria-label={inWords(points)} />
    </figure>
  )
}

function optionsFor(element: HTMLElement, scheme: string): UPlot.Options {
  const style = getComputedStyle(element)
  const colour = (name: string) => resolve(style.getPropertyValue(name), scheme)
  const axis = {
    stroke: colour('--app-text-dim'),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: colour('--app-border'), width: 1 },
    ticks: { show: false },
  }
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: (_plot, min, max) => span(min, max) },
      y: { range: (_plot, _min, max) => [0, Math.max(100, (max ?? 0) * 1.2)] },
    },
    series: [
      {},
      { stroke: colour('--app-line'), fill: `${colour('--app-line')}22`, width: 1.5, points: { show: false } },
    ],
    axes: [
      { ...axis, values: (_plot, seconds) => seconds.map(clockTime), size: 28, space: 70, incrs: wholeMinutes },
      { ...axis, values: (_plot, all) => axisWords(all), size: 74, space: 40 },
    ],
  }
}

/** As long as there are figures for, so that a page that was just opened shows more than a dot. */
function span(min: number | null, max: number | null): UPlot.Range.MinMax {
  const newest = max ?? Date.now() / 1_000
  const seconds = Math.min(historyMs / 1_000, Math.max(spanSecondsMin, newest - (min ?? newest)))
  return [newest - seconds, newest]
}

/** A canvas does not know `light-dark()`. */
function resolve(value: string, scheme: string): string {
  const [, light, dark] = /^\s*light-dark\(([^,]+),\s*([^)]+)\)/.exec(value) ?? []
  return (scheme === 'dark' ? dark : light)?.trim() ?? value.trim()
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })

function clockTime(seconds: number): string {
  return clock.format(seconds * 1_000)
}

function axisWords(all: readonly number[]): string[] {
  const inMegabits = (all.at(-1) ?? 0) >= 1_000
  return all.map((kbps) => (inMegabits ? `${Number((kbps / 1_000).toFixed(1))} Mb/s` : `${kbps} kb/s`))
}

function seriesOf(points: readonly BitratePoint[]): UPlot.AlignedData {
  const times: number[] = []
  const values: (number | null)[] = []
  let previousMs = Number.POSITIVE_INFINITY
  for (const { atMs, kbps } of points) {
    if (atMs - previousMs > gapMs) {
      times.push(previousMs / 1_000 + 1)
      values.push(null)
    }
    times.push(atMs / 1_000)
    values.push(kbps)
    previousMs = atMs
  }
  return [times, values]
}

function inWords(points: readonly BitratePoint[]): string {
  if (points.length === 0) return 'No figures yet.'
  const all = points.map(({ kbps }) => kbps)
  const words = (kbps: number) => Object.values(bitrateWords(kbps)).join(' ')
  return `Between ${words(Math.min(...all))} and ${words(Math.max(...all))}; now ${words(all.at(-1)!)}.`
}
