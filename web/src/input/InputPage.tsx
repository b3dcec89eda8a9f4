import { Alert, Button, Skeleton, Title } from '@mantine/core'
import type { WireLiveInput } from '../../../src/api/schemas.ts'
import { ApiFailure } from '../api/client.ts'
import { useInputStatus, useWatchedInput } from '../api/live.ts'
import { nameOf, useInput, useMay, useOutputs, useRememberedBitrates, useSwitchInput } from '../api/queries.ts'
import { useInputDialogs } from '../inputs/InputDialogs.tsx'
import { InputMenu } from '../inputs/InputMenu.tsx'
import { InputState } from '../inputs/InputState.tsx'
import { viewOf } from '../inputs/input-state.ts'
import { OutputsSection } from '../outputs/OutputsSection.tsx'
import { EmptyState } from '../parts/EmptyState.tsx'
import { BackIcon } from '../parts/icons.tsx'
import { goTo, hashOf, Link } from '../router.tsx'
import { useTitle } from '../use-title.ts'
import { ConnectPanel } from './ConnectPanel.tsx'
import { EncoderPanel } from './EncoderPanel.tsx'
import { HistoryPanel } from './HistoryPanel.tsx'
import styles from './InputPage.module.css'
import { PreviewPanel } from './PreviewPanel.tsx'
import { WarningsMark } from './WarningsMark.tsx'

/** One live input, as it is now. */
export function InputPage({ account, id }: { readonly account: string; readonly id: string }) {
  const { data: input, error, refetch } = useInput(account, id)
  // Asked for beside it: with its rows in their place from the beginning, nothing below them moves.
  const { isPending: isWithoutOutputs } = useOutputs(account, id)
  useWatchedInput(id)
  useRememberedBitrates(account, id)
  const isGone = error instanceof ApiFailure && error.status === 404
  if (isGone)
    return (
      <EmptyState
        title="This live input does not exist"
        action={
          <Button component="a" href={hashOf({ name: 'inputs', account })}>
            To the live inputs
          </Button>
        }
      >
        It was deleted, or it belongs to another account.
      </EmptyState>
    )
  if (input === undefined && error !== null)
    return (
      <Alert color="red" title="The live input could not be read" role="alert">
        {error.message}{' '}
        <Button size="xs" variant="default" onClick={() => refetch()}>
          Try again
        </Button>
      </Alert>
    )
  return input === undefined || isWithoutOutputs ? (
    <Loading account={account} />
  ) : (
    <Shown account={account} input={input} />
  )
}

function Shown({ account, input }: { readonly account: string; readonly input: WireLiveInput }) {
  const status = useInputStatus(input.uid, input.status)
  const { act, dialogs } = useInputDialogs(account, () => goTo({ name: 'inputs', account }))
  const switchInput = useSwitchInput(account)
  const mayWrite = useMay(account, 'write')
  const name = nameOf(input)
  const { kind } = viewOf(input.enabled, status?.current)
  const isOnAir = kind === 'live' || kind === 'held'
  useTitle(name)
  return (
    <>
      <Back account={account} />
      <div className={styles['head']}>
        <div className={styles['title']}>
          <Title order={1}>{name}</Title>
          <div className={styles['state']}>
            <InputState id={input.uid} isEnabled={input.enabled} current={status?.current} />
            <WarningsMark id={input.uid} />
            {kind === 'held' && (
              <span className={styles['held']}>Its outputs stay connected while it is waited for.</span>
            )}
          </div>
        </div>
        <div className={styles['actions']}>
          {!input.enabled && mayWrite && (
            <Button onClick={() => switchInput.mutate({ input, enabled: true })} loading={switchInput.isPending}>
              Enable
            </Button>
          )}
          <InputMenu input={{ ...input, current: status?.current }} onAction={act} />
        </div>
      </div>
      {!input.enabled && (
        <p className={styles['disabled']}>
          This live input is disabled: encoders are refused, and nothing is sent to its outputs.
        </p>
      )}
      <div className={styles['columns']}>
        <div className={styles['side']}>
          <PreviewPanel account={account} id={input.uid} isOnAir={isOnAir} />
          <ConnectPanel account={account} input={input} isOnAir={isOnAir} />
        </div>
        <div className={styles['main']}>
          <OutputsSection input={input} />
          <EncoderPanel id={input.uid} isOnAir={isOnAir} />
          <HistoryPanel status={status} />
        </div>
      </div>
      {dialogs}
    </>
  )
}

function Back({ account }: { readonly account: string }) {
  return (
    <Link className={styles['back']} to={{ name: 'inputs', account }}>
      <BackIcon size={16} /> Live inputs
    </Link>
  )
}

/** The shape of the page, so that nothing moves when it is there. */
function Loading({ account }: { readonly account: string }) {
  return (
    <>
      <Back account={account} />
      <div className={styles['head']}>
        <div className={styles['title']}>
          <Skeleton height={28} width={240} mb={10} />
          <Skeleton height={24} width={120} />
        </div>
      </div>
      <div className={styles['columns']}>
        <div className={styles['side']}>
          <Skeleton height={280} radius="md" />
          <Skeleton height={320} radius="md" />
        </div>
        <div className={styles['main']}>
          <Skeleton height={220} radius="md" />
          <Skeleton height={320} radius="md" />
        </div>
      </div>
    </>
  )
}
