import { Alert, Anchor, Button, Center, Loader, PasswordInput, Stack, Text, Title } from '@mantine/core'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { ApiFailure, unreachable } from '../api/client.ts'
import { changeSession } from '../api/queries.ts'
import { signIn } from '../api/session.ts'
import { ColorSchemeSwitch } from '../frame/ColorSchemeSwitch.tsx'
import { Mark } from '../frame/Mark.tsx'
import { closeNotices, tellProblem } from '../frame/notices.ts'
import { readRoute } from '../route.ts'
import { replaceWith } from '../router.tsx'
import { useTitle } from '../use-title.ts'
import styles from './SignInPage.module.css'

/** @param once of a one-time link: used at once, and taken out of the address. */
export function SignInPage({ once }: { readonly once?: string }) {
  useTitle('Sign in')
  const [token, setToken] = useState('')
  const [isBusy, setBusy] = useState(once !== undefined)
  const [problem, setProblem] = useState<string>()
  const usedOnce = useRef<string>(undefined)

  const enter = async (proof: { token: string } | { once: string }) => {
    setBusy(true)
    setProblem(undefined)
    try {
      const { result } = await signIn(proof)
      closeNotices()
      changeSession(result)
      // Whose session has ended goes on where it was.
      if (readRoute(location.hash).name === 'sign-in') replaceWith({ name: 'start' })
    } catch (error) {
      setBusy(false)
      const problem = problemOf(error, 'once' in proof)
      if ('token' in proof) {
        setProblem(problem)
        return
      }
      // Whoever is signed in already goes on to the start, and others to the field for a token.
      tellProblem('You were not signed in', problem)
      replaceWith({ name: 'sign-in', once: undefined })
    }
  }

  useEffect(() => {
    // It counts once, and an effect of React may run twice.
    if (once === undefined || usedOnce.current === once) return
    usedOnce.current = once
    void enter({ once })
  })

  const submitted = (event: FormEvent) => {
    event.preventDefault()
    if (token.trim() === '') setProblem('Paste an API token first.')
    else void enter({ token: token.trim() })
  }

  return (
    <main className={styles['page']}>
      <div className={styles['corner']}>
        <ColorSchemeSwitch />
      </div>
      <div className={styles['card']}>
        <Stack gap="xs" align="center">
          <Mark size={44} />
          <Title order={1}>Stream Connect</Title>
        </Stack>
        {isBusy && once !== undefined ? (
          <Center py="xl">
            <Loader size="sm" aria-label="Signing in" />
          </Center>
        ) : (
          <form onSubmit={submitted}>
            <Stack gap="md">
              <PasswordInput
                label="API token"
                description="The server printed one at its first start, and keeps it in the file api-token of its data directory."
                autoComplete="current-password"
                spellCheck={false}
                autoFocus
                value={token}
                onChange={({ currentTarget }) => setToken(currentTarget.value)}
                visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the token' }}
              />
              {problem !== undefined && (
                <Alert color="red" role="alert" variant="light">
                  {problem}
                </Alert>
              )}
              <Button type="submit" loading={isBusy} fullWidth>
                Sign in
              </Button>
              <Text size="sm" c="dimmed">
                The browser keeps a session, never the token. A new token is made with{' '}
                <code>stream-connect token create</code>.{' '}
                <Anchor href="/docs" size="sm" underline="always">
                  API documentation
                </Anchor>
              </Text>
            </Stack>
          </form>
        )}
      </div>
    </main>
  )
}

function problemOf(error: unknown, isLink: boolean): string {
  if (!(error instanceof ApiFailure)) return 'The page made a mistake. Reload it, and try again.'
  if (error.code === unreachable || error.status === 429 || error.status >= 500) return error.message
  return isLink
    ? 'This link has been used already, or is too old. Sign in with an API token.'
    : 'The server does not know this token. It may be misspelt, expired or revoked.'
}
