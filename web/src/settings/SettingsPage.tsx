import { Skeleton, Title } from '@mantine/core'
import { useLayoutEffect, useState } from 'react'
import { useServerFacts } from '../api/queries.ts'
import { useAccount } from '../router.tsx'
import { useTitle } from '../use-title.ts'
import { DeliveriesSection } from './DeliveriesSection.tsx'
import { AboutSection, AddressesSection, LimitsSection } from './ServerSections.tsx'
import styles from './SettingsPage.module.css'
import { TokensSection } from './TokensSection.tsx'
import { useTokens } from './tokens.ts'
import { WebhooksSection } from './WebhooksSection.tsx'
import { useDeliveries, useWebhooks } from './webhooks.ts'

/** What belongs to an account as a whole, and what there is to know of the server. */
export function SettingsPage() {
  const account = useAccount()
  useTitle('Settings')
  return (
    <div className={styles['page']}>
      <Title order={1}>Settings</Title>
      <Sections account={account} />
    </div>
  )
}

/** All at once, when the server has said how much there is of each: one that came later would move those below it. */
function Sections({ account }: { readonly account: string }) {
  const [isTold, setTold] = useState(false)
  if (!isTold) return <Waiting account={account} onTold={() => setTold(true)} />
  return (
    <>
      <TokensSection account={account} />
      <WebhooksSection account={account} />
      <DeliveriesSection account={account} />
      <div className={styles['pair']}>
        <AddressesSection />
        <LimitsSection />
      </div>
      <AboutSection account={account} />
    </>
  )
}

function Waiting({ account, onTold }: { readonly account: string; readonly onTold: () => void }) {
  const asked = [useTokens(account), useWebhooks(account), useDeliveries(account, '', ''), useServerFacts()]
  // What is refused is told, too, in its own place.
  const isTold = asked.every(({ isPending }) => !isPending)
  useLayoutEffect(() => {
    if (isTold) onTold()
  })
  return [120, 120, 160, 320].map((height, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the same four, always
    <Skeleton key={index} height={height} radius="md" />
  ))
}
