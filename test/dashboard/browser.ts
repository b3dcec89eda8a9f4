import assert from 'node:assert/strict'
import AxeBuilder from '@axe-core/playwright'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { waitFor } from '../support/processes.ts'
import { programPath } from '../support/requirements.ts'

/** Debian's Chromium, and people who sit before it. Needs `needs('chromium')`. */

/** A page that is being looked at for so long has something to say by then, on a busy machine too. */
export const patienceMs = 60_000

/** As waitFor, as patient as one is with a page. @throws Error that says what was waited for. */
export function until<T>(what: string, condition: () => T | Promise<T>) {
  return waitFor(what, condition, patienceMs)
}

export type Colours = 'light' | 'dark'
export const wide = { width: 1280, height: 800 }
export const phone = { width: 390, height: 844 }

/** Knows the loopback interface and nothing else: whatever a page asks for from elsewhere fails, and is told. */
export async function openBrowser(): Promise<Browser> {
  const args = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', '--disable-background-networking']
  // Chromium's sandbox does not work for root, and these pages are our own.
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  return chromium.launch({ executablePath: programPath('chromium'), args })
}

export type VisitorOptions = {
  readonly colours?: Colours
  readonly viewport?: { readonly width: number; readonly height: number }
  /** What the page may say all the same: a server that is stopped on purpose makes the browser complain. */
  readonly expected?: RegExp
  readonly context?: BrowserContextOptions
}

/**
 * One person with a browser profile of its own. What the browser complains of is written down: errors on the console (a breach of the
 * Content-Security-Policy is one), exceptions, dialogs, and requests to anything but the server. `leave` fails on any of it.
 */
export class Visitor implements AsyncDisposable {
  readonly page: Page
  readonly complaints: string[] = []
  readonly #origin: string
  readonly #expected: RegExp | undefined

  private constructor(page: Page, origin: string, expected: RegExp | undefined) {
    this.page = page
    this.#origin = origin
    this.#expected = expected
    page.setDefaultTimeout(patienceMs)
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.#complain(`${message.type()}: ${message.text()} (${message.location().url})`)
    })
    page.on('pageerror', (error) => this.#complain(`exception: ${error.stack ?? error.message}`))
    page.on('dialog', (dialog) => {
      this.#complain(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on('request', (request) => {
      const url = request.url()
      if (!url.startsWith(this.#origin) && !/^(data|blob|about):/.test(url)) this.#complain(`asks elsewhere: ${url}`)
    })
  }

  static async enter(browser: Browser, origin: string, options: VisitorOptions = {}): Promise<Visitor> {
    const { colours = 'light', viewport = wide, expected, context } = options
    const profile = await browser.newContext({
      viewport,
      colorScheme: colours,
      reducedMotion: 'reduce',
      locale: 'en-GB',
      baseURL: origin,
      permissions: ['clipboard-read', 'clipboard-write'],
      ...context,
    })
    return new Visitor(await profile.newPage(), origin, expected)
  }

  /** Closes the profile. @throws AssertionError with what the browser complained of. */
  async leave(): Promise<void> {
    await this.page.context().close()
    assert.deepEqual(this.complaints, [], 'what the browser complained of')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close()
  }

  /** The page is no wider than its window. */
  async assertNoSidewaysScroll(what: string): Promise<void> {
    // As text: the tests know no DOM.
    const widths = await this.page.evaluate<{ scrollWidth: number; clientWidth: number; beyond: string[] }>(`(() => {
      const { scrollWidth, clientWidth } = document.documentElement
      const beyond = [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > clientWidth + 1)
        .map((element) => element.outerHTML.slice(0, 200))
      return { scrollWidth, clientWidth, beyond: beyond.slice(0, 5) }
    })()`)
    assert.ok(widths.scrollWidth <= widths.clientWidth, `${what} scrolls sideways: ${JSON.stringify(widths)}`)
  }

  /**
   * What axe-core finds against WCAG 2.2 AA that is serious or critical.
   * @param part a selector: what lies under a dialog cannot be reached meanwhile, and was looked at before.
   */
  async assertAccessible(what: string, part = 'html'): Promise<void> {
    const { violations } = await new AxeBuilder({ page: this.page })
      .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
      .include(part)
      // Otherwise it opens a second page for each look, to join what it finds in frames: there are none.
      .setLegacyMode()
      .analyze()
    const serious = violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`).join(' | ')}`)
    assert.deepEqual(serious, [], `what axe-core finds on ${what}`)
  }

  #complain(words: string): void {
    if (this.#expected?.test(words)) return
    this.complaints.push(words)
  }
}
