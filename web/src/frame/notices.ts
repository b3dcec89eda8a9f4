import { ApiFailure } from '../api/client.ts'

/** So long a notice that needs nothing done stays; what went wrong stays until it is closed. */
const shownMs = 5_000
const noticesMax = 4

export type Notice = {
  readonly id: number
  readonly tone: 'good' | 'bad'
  readonly title: string
  /** From the server, so never markup. */
  readonly message: string
}

let notices: readonly Notice[] = []
let lastId = 0
const listeners = new Set<() => void>()

export function readNotices(): readonly Notice[] {
  return notices
}

export function subscribeToNotices(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function closeNotice(id: number): void {
  become(notices.filter((notice) => notice.id !== id))
}

export function tellDone(title: string, message = ''): void {
  const id = add({ tone: 'good', title, message })
  setTimeout(() => closeNotice(id), shownMs)
}

/** @param title what did not happen: "Camera 1 was not renamed". */
export function tellFailure(title: string, error: unknown): void {
  const message = error instanceof ApiFailure ? error.message : 'The page made a mistake. Reload it, and try again.'
  tellProblem(title, message)
}

/** As tellFailure, in words of our own. */
export function tellProblem(title: string, message: string): void {
  add({ tone: 'bad', title, message })
}

/** For somebody else, or after what they told was put right. */
export function closeNotices(): void {
  become([])
}

function add(notice: Omit<Notice, 'id'>): number {
  const id = ++lastId
  // The same trouble again takes the place of the one before.
  const others = notices.filter(({ title, message }) => title !== notice.title || message !== notice.message)
  become([...others, { ...notice, id }].slice(-noticesMax))
  return id
}

function become(next: readonly Notice[]): void {
  notices = next
  for (const listener of listeners) listener()
}
