import { Title } from '@mantine/core'
import { useAccount } from '../router.tsx'
import { useTitle } from '../use-title.ts'
import { DeliveriesSection } from './DeliveriesSection.tsx'
import { AboutSection, AddressesSection, LimitsSection } from './ServerSections.tsx'
import styles from './SettingsPage.module.css'
import { TokensSection } from './TokensSection.tsx'
import { WebhooksSection } from './WebhooksSection.tsx'

/** What belongs to an account as a whole, and what there is to know of the server. */
export function SettingsPage() {
  const account = useAccount()
  useTitle('Settings')
  return (
    <div className={styles['page']}>
      <Title order={1}>Settings</Title>
      <TokensSection account={account} />
      <WebhooksSection account={account} />
      <DeliveriesSection account={account} />
      <div className={styles['pair']}>
        <AddressesSection />
        <LimitsSection />
      </div>
      <AboutSection account={account} />
    </div>
  )
}
