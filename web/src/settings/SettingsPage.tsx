export function SettingsPage() {
  return <section aria-label="Settings" />
}
