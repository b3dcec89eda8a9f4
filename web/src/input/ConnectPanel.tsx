import { Button, SegmentedControl, Text } from '@mantine/core'
import { useState } from 'react'
import type { WireLiveInput } from '../../../src/api/schemas.ts'
import { nameOf, useMay, useRotateKeys, useServerFacts } from '../api/queries.ts'
import { tellDone } from '../frame/notices.ts'
import { ConfirmDanger } from '../parts/ConfirmDanger.tsx'
import { CopyField } from '../parts/CopyField.tsx'
import { KeyIcon } from '../parts/icons.tsx'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { Secret } from '../parts/Secret.tsx'
import styles from './ConnectPanel.module.css'
import { addressesOf, type Protocol } from './encoder-address.ts'
import { HowTo } from './HowTo.tsx'

type Props = { readonly account: string; readonly input: WireLiveInput; readonly isOnAir: boolean }

/** What is put into the encoder, and how; and another key, when this one has become known. */
export function ConnectPanel({ account, input, isOnAir }: Props) {
  const addresses = addressesOf(input)
  const isSelfSigned = useServerFacts().data?.certificate?.selfSigned === true
  const [chosen, setChosen] = useState<Protocol>()
  // Whose encoder sends already knows how. It stays as it is when that changes: nothing moves by itself.
  const [isTaught, setTaught] = useState(!isOnAir)
  const [isAsked, setAsked] = useState(false)
  const rotate = useRotateKeys(account)
  const mayWrite = useMay(account, 'write')
  // Most encoders refuse a certificate that nobody vouches for.
  const best = (isSelfSigned && addresses.find(({ protocol }) => protocol === 'rtmp')) || addresses[0]
  const address = addresses.find(({ protocol }) => protocol === chosen) ?? best
  if (address === undefined)
    return (
      <Panel title="Connect an encoder">
        <Text size="sm">No encoder can connect: both RTMP and RTMPS are turned off on this server.</Text>
      </Panel>
    )
  const newKey = () =>
    rotate.mutate(input, {
      onSuccess: () => tellDone('The stream key is a new one', 'Set your encoder to it: the old one is refused.'),
      onSettled: () => setAsked(false),
    })
  return (
    <Panel
      title="Connect an encoder"
      actions={
        addresses.length > 1 && (
          <SegmentedControl
            size="xs"
            aria-label="Protocol"
            value={address.protocol}
            onChange={(value) => setChosen(value as Protocol)}
            data={addresses.map(({ protocol }) => ({ value: protocol, label: protocol.toUpperCase() }))}
          />
        )
      }
    >
      <div className={styles['fields']}>
        <div>
          <div className={styles['label']}>Server</div>
          <CopyField value={address.server} name="server address" />
        </div>
        <div>
          <div className={styles['label']}>Stream key</div>
          <Secret value={address.streamKey} name="stream key" />
        </div>
        {address.protocol === 'rtmps' && isSelfSigned && (
          <Text size="sm" c="dimmed">
            The certificate of this server is self-signed: most encoders refuse it until they are told to trust it, or
            the server is given one of its own (TLS_CERT, TLS_KEY).
          </Text>
        )}
        {isTaught ? (
          <HowTo address={address} />
        ) : (
          <Button variant="default" size="xs" justify="flex-start" onClick={() => setTaught(true)} w="fit-content">
            How to set up an encoder
          </Button>
        )}
        <div className={styles['rotate']}>
          <Button
            variant="default"
            size="xs"
            leftSection={<KeyIcon size={16} />}
            onClick={() => setAsked(true)}
            loading={rotate.isPending}
            disabled={!mayWrite}
          >
            New stream key
          </Button>
          {input.keysRotatedAt !== undefined && (
            <Text size="sm" c="dimmed">
              Last changed <RelativeTime at={input.keysRotatedAt} />
            </Text>
          )}
        </div>
      </div>
      <ConfirmDanger
        opened={isAsked}
        onClose={() => setAsked(false)}
        title={`A new stream key for ${nameOf(input)}?`}
        action="Make a new key"
        onConfirm={newKey}
        isBusy={rotate.isPending}
      >
        <Text size="sm">
          The old key is refused from now on, wherever it is set.{' '}
          {isOnAir
            ? 'The encoder that sends now is cut off, and its outputs end until an encoder sends with the new key.'
            : 'Whoever sends to this live input has to be given the new one.'}
        </Text>
      </ConfirmDanger>
    </Panel>
  )
}
