import { Badge, Button, Skeleton, Text } from '@mantine/core'
import { useState } from 'react'
import type { WireToken } from '../../../src/api/account-schemas.ts'
import { ApiFailure } from '../api/client.ts'
import { useMay, useSession } from '../api/queries.ts'
import { ConfirmDanger } from '../parts/ConfirmDanger.tsx'
import { PlusIcon } from '../parts/icons.tsx'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { StateBadge } from '../parts/StateBadge.tsx'
import { CreateToken } from './CreateToken.tsx'
import styles from './Rows.module.css'
import { scopeWords, useRevokeToken, useTokens } from './tokens.ts'

/** Who may use the API, and with which rights. */
export function TokensSection({ account }: { readonly account: string }) {
  const { data: tokens, error } = useTokens(account)
  const { data: session } = useSession()
  const revoke = useRevokeToken(account)
  const mayManage = useMay(account, 'manage')
  const [isCreating, setCreating] = useState(false)
  const [leaving, setLeaving] = useState<WireToken>()
  const own = session?.token.id
  return (
    <Panel
      title="API tokens"
      isFlush
      actions={
        mayManage && (
          <Button
            size="sm"
            leftSection={<PlusIcon size={16} />}
            onClick={() => setCreating(true)}
            disabled={tokens === undefined}
          >
            Create token
          </Button>
        )
      }
    >
      {tokens === undefined ? (
        <Unlisted error={error} />
      ) : tokens.length === 0 ? (
        <p className={styles['said']}>
          None yet, beside the token of the server itself. Give each program and person a token of its own: each can be
          revoked without the others.
        </p>
      ) : (
        <ul className={styles['rows']}>
          {tokens.map((token) => (
            <Row key={token.id} token={token} isOwn={token.id === own} onRevoke={setLeaving} />
          ))}
        </ul>
      )}
      <CreateToken account={account} opened={isCreating} onClose={() => setCreating(false)} />
      <ConfirmDanger
        opened={leaving !== undefined}
        onClose={() => setLeaving(undefined)}
        title={`Revoke ${leaving?.name ?? ''}?`}
        action="Revoke the token"
        onConfirm={() => {
          if (leaving !== undefined) revoke.mutate(leaving)
          setLeaving(undefined)
        }}
      >
        <Text size="sm">
          Whoever uses it is shut out from now on, and it cannot be had back. Broadcasts that are under way go on.
          {leaving?.id === own && ' You are signed in with it: you will be signed out.'}
        </Text>
      </ConfirmDanger>
    </Panel>
  )
}

function Unlisted({ error }: { readonly error: unknown }) {
  if (error === null) return <Skeleton height={52} m={16} w="auto" />
  const isForbidden = error instanceof ApiFailure && error.status === 403
  return (
    <p className={styles['said']} data-tone={isForbidden ? undefined : 'bad'}>
      {isForbidden
        ? 'The token that you are signed in with may not manage tokens.'
        : error instanceof ApiFailure
          ? error.message
          : 'The page made a mistake. Reload it, and try again.'}
    </p>
  )
}

type RowProps = {
  readonly token: WireToken
  readonly isOwn: boolean
  readonly onRevoke: (token: WireToken) => void
}

function Row({ token, isOwn, onRevoke }: RowProps) {
  const { name, kind, email, scopes, all_accounts, status, issued_on, expires_on, last_used_on } = token
  return (
    <li className={styles['row']} aria-label={name}>
      <div className={styles['what']}>
        <div className={styles['name']}>
          {name}
          {isOwn && (
            <Badge size="sm" variant="default" tt="none" fw={500}>
              this session
            </Badge>
          )}
          {status === 'expired' && <StateBadge tone="idle">Expired</StateBadge>}
        </div>
        <p className={styles['more']}>
          {scopes.map((scope) => scopeWords[scope].title).join(' · ')}
          {all_accounts && ' · in all accounts'}
          {kind === 'key' && ` · key of ${email ?? 'a person'}`}
        </p>
      </div>
      <dl className={styles['times']}>
        <div>
          <dt>Last used</dt>
          <dd>{last_used_on === undefined ? 'never' : <RelativeTime at={last_used_on} />}</dd>
        </div>
        <div>
          <dt>Created</dt>
          <dd>
            <RelativeTime at={issued_on} />
          </dd>
        </div>
        <div>
          <dt>{status === 'expired' ? 'Expired' : 'Expires'}</dt>
          <dd>{expires_on === undefined ? 'never' : <RelativeTime at={expires_on} />}</dd>
        </div>
      </dl>
      <div className={styles['actions']}>
        <Button size="compact-sm" variant="default" onClick={() => onRevoke(token)} aria-label={`Revoke ${name}`}>
          Revoke
        </Button>
      </div>
    </li>
  )
}
