import { createTheme, type MantineColorsTuple, Menu, Modal, Tooltip } from '@mantine/core'

/** One accent, for what can be pressed; green, amber and red say how something is (theme.css), and nothing else does. */
export const theme = createTheme({
  primaryColor: 'indigo',
  primaryShade: { light: 7, dark: 8 },
  colors: {
    // Mantine's is too light to be read as text, or under white text.
    red: [
      ...['#fff0f0', '#ffdfdf', '#ffc2c2', '#ffa3a0', '#ff8d85'],
      ...['#e5484d', '#cf3036', '#b42323', '#9c1c1c', '#831616'],
    ] as unknown as MantineColorsTuple,
    // The greys of dark pages: bluish, as those of theme.css are; Mantine's are brownish beside them.
    dark: [
      ...['#e7eaef', '#c3c9d3', '#9aa4b3', '#6f7a8b', '#3a424f'],
      ...['#2a303a', '#1c2129', '#161a20', '#0e1115', '#090b0e'],
    ] as unknown as MantineColorsTuple,
  },
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Roboto Mono', Menlo, Consolas, monospace",
  headings: {
    fontWeight: '650',
    sizes: {
      h1: { fontSize: '1.5rem', lineHeight: '1.3' },
      h2: { fontSize: '1.0625rem', lineHeight: '1.4' },
      h3: { fontSize: '0.9375rem', lineHeight: '1.4' },
    },
  },
  components: {
    // The placeholder has a tab index, and lies where screen readers expect items alone.
    Menu: Menu.extend({ defaultProps: { withInitialFocusPlaceholder: false } }),
    Tooltip: Tooltip.extend({ defaultProps: { events: { hover: true, focus: true, touch: true }, openDelay: 250 } }),
    // What holds the page still behind a dialog writes a <style>, which the page's policy forbids.
    Modal: Modal.extend({
      defaultProps: {
        centered: true,
        lockScroll: false,
        padding: 'lg',
        radius: 'lg',
        closeButtonProps: { 'aria-label': 'Close' },
      },
    }),
  },
})
