import { ActionIcon, Tooltip } from '@mantine/core'
import { useState } from 'react'
import { announceSignedOut } from '../api/client.ts'
import { signOut } from '../api/session.ts'
import { SignOutIcon } from '../parts/icons.tsx'
import { replaceWith } from '../router.tsx'
import { tellFailure } from './notices.ts'

export function SignOutButton() {
  const [isBusy, setBusy] = useState(false)
  const leave = async () => {
    setBusy(true)
    try {
      await signOut()
      replaceWith({ name: 'sign-in', once: undefined })
      announceSignedOut()
    } catch (error) {
      setBusy(false)
      tellFailure('You are still signed in', error)
    }
  }
  return (
    <Tooltip label="Sign out">
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Sign out" loading={isBusy} onClick={leave}>
        <SignOutIcon />
      </ActionIcon>
    </Tooltip>
  )
}
