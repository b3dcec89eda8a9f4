import {
  convertCssVariables,
  DEFAULT_THEME,
  defaultCssVariablesResolver,
  type MantineTheme,
  mergeMantineTheme,
} from '@mantine/core'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'
import { theme } from './src/theme.ts'

/** `npm run dev:web` serves the pages by itself and hands everything else to a server that runs. */
const server = process.env['STREAM_CONNECT_DEV_SERVER'] ?? 'http://127.0.0.1:8080'

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react(), themeVariables()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // Browsers of 2024 and later; with an older target `light-dark()` would be rewritten into something that follows no switch.
    target: 'es2023',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // What the entry loads is found in it by the test that holds the size of the first load.
    manifest: true,
    // The Content-Security-Policy of the page takes no data: urls for scripts and fonts.
    assetsInlineLimit: 0,
    // Every browser of the target knows modulepreload.
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/client': server, '/dashboard': server, '/healthz': server } },
})

/**
 * What our theme changes of Mantine's, as a style sheet. Mantine would write it into a <style> of the running page, which the page's
 * Content-Security-Policy forbids.
 */
function themeVariables(): Plugin {
  const name = 'virtual:theme-variables.css'
  const changed = (ours: Record<string, string>, theirs: Record<string, string>) =>
    Object.fromEntries(Object.entries(ours).filter(([variable, value]) => theirs[variable] !== value))
  return {
    name: 'theme-variables',
    resolveId: (id) => (id === name ? name : undefined),
    load: (id) => {
      if (id !== name) return undefined
      const ours = defaultCssVariablesResolver(mergeMantineTheme(DEFAULT_THEME, theme) as MantineTheme)
      const theirs = defaultCssVariablesResolver(DEFAULT_THEME)
      return convertCssVariables({
        variables: changed(ours.variables, theirs.variables),
        light: changed(ours.light, theirs.light),
        dark: changed(ours.dark, theirs.dark),
      })
    },
  }
}
