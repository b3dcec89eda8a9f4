import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Programs of the system that some tests need. A test that lacks one is skipped by name, or fails where CI=true. */

export const nginxRtmpModule = '/usr/lib/nginx/modules/ngx_rtmp_module.so'

export const requirements = {
  ffmpeg: { package: 'ffmpeg', isThere: () => onPath('ffmpeg') && onPath('ffprobe') },
  'nginx-rtmp': { package: 'nginx libnginx-mod-rtmp', isThere: () => onPath('nginx') && existsSync(nginxRtmpModule) },
  gstreamer: {
    package:
      'gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly',
    isThere: () => onPath('gst-launch-1.0') && succeeds('gst-inspect-1.0', ['rtmp2sink']),
  },
  curl: { package: 'curl', isThere: () => onPath('curl') },
  // Debian's: it decodes H.264 and AAC.
  chromium: { package: 'chromium', isThere: () => onPath('chromium') },
} as const satisfies Record<string, { package: string; isThere: () => boolean }>
export type Requirement = keyof typeof requirements

const known = new Map<Requirement, boolean>()

/**
 * Options for `test(name, needs('ffmpeg'), …)`: skips with a sentence when a program is missing.
 * @throws Error in place of skipping where CI=true, so that nothing is left out unnoticed.
 */
export function needs(...names: readonly Requirement[]): { skip?: string } {
  const missing = names.filter((name) => {
    if (!known.has(name)) known.set(name, requirements[name].isThere())
    return !known.get(name)
  })
  if (missing.length === 0) return {}
  const sentence = `needs ${missing.join(', ')}: apt-get install ${missing.map((name) => requirements[name].package).join(' ')}`
  if (process.env['CI'] === 'true') throw new Error(sentence)
  return { skip: sentence }
}

function onPath(program: string): boolean {
  // Debian keeps nginx in /usr/sbin, which is not on everybody's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some((folder) => folder !== '' && existsSync(`${folder}/${program}`))
}

/** The program's name, or its full path where it is in /usr/sbin alone. */
export function programPath(program: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  const folder = folders.find((candidate) => candidate !== '' && existsSync(`${candidate}/${program}`))
  return folder === undefined ? program : `${folder}/${program}`
}

function succeeds(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
