import { Center, Loader, MantineProvider } from '@mantine/core'
import { QueryClientProvider } from '@tanstack/react-query'
import { type ReactNode, useEffect } from 'react'
import type { DashboardSession } from '../../src/api/dashboard-types.ts'
import { onSignedOut } from './api/client.ts'
import { followVisibility, live } from './api/live.ts'
import { changeSession, forgetAnswers, queryClient, useSession } from './api/queries.ts'
import { AppFrame } from './frame/AppFrame.tsx'
import { CrashGuard } from './frame/CrashGuard.tsx'
import { Notices } from './frame/Notices.tsx'
import { UnknownPage } from './frame/UnknownPage.tsx'
import { WaitForServer } from './frame/WaitForServer.tsx'
import { InputsPage } from './inputs/InputsPage.tsx'
import { later } from './parts/later.tsx'
import { readRoute } from './route.ts'
import { type Route, replaceWith, useRoute } from './router.tsx'
import { SignInPage } from './sign-in/SignInPage.tsx'
import { theme } from './theme.ts'

const InputPage = later(() => import('./input/InputPage.tsx').then(({ InputPage }) => InputPage), <Waiting />)
const SettingsPage = later(
  () => import('./settings/SettingsPage.tsx').then(({ SettingsPage }) => SettingsPage),
  <Waiting />,
)
// Beside the question who is signed in, and not after its answer.
const opened = readRoute(location.hash).name
if (opened === 'input') InputPage.preload()
if (opened === 'settings') SettingsPage.preload()

const lastAccountKey = 'stream-connect-account'

export function App() {
  return (
    // What these two would write into the page as <style> is in theme.css and vite.config.ts: the page's policy forbids it.
    <MantineProvider theme={theme} defaultColorScheme="auto" withCssVariables={false} withGlobalClasses={false}>
      <QueryClientProvider client={queryClient}>
        <CrashGuard>
          <Pages />
        </CrashGuard>
        <Notices />
      </QueryClientProvider>
    </MantineProvider>
  )
}

const forgetSession = () => changeSession(null)

function Pages() {
  const route = useRoute()
  const session = useSession()
  useEffect(() => {
    live.onSignedOut = forgetSession
    live.onGap = () => void queryClient.invalidateQueries()
    return onSignedOut(forgetSession)
  }, [])
  useEffect(followVisibility, [])
  const isSignedOut = session.data === null
  useEffect(() => {
    // React has taken the pages away before it comes here.
    if (isSignedOut) forgetAnswers()
  }, [isSignedOut])
  // A one-time link signs in whoever it was given to, whoever was signed in before.
  if (route.name === 'sign-in' && route.once !== undefined) return <SignInPage once={route.once} />
  if (session.data === undefined) return session.isError ? <WaitForServer error={session.error} /> : <Waiting />
  if (session.data === null) return <SignInPage />
  return <SignedIn session={session.data} route={route} />
}

function SignedIn({ session, route }: { readonly session: DashboardSession; readonly route: Route }) {
  const asked = 'account' in route ? route.account : undefined
  const account = session.accounts.find(({ id }) => id === asked)
  const isStart = route.name === 'start' || route.name === 'sign-in'
  useEffect(() => {
    if (!isStart) return
    const last = localStorage.getItem(lastAccountKey)
    const start = session.accounts.find(({ id }) => id === last) ?? session.accounts[0]
    if (start !== undefined) replaceWith({ name: 'inputs', account: start.id })
  }, [isStart, session])
  useEffect(() => {
    if (account !== undefined) localStorage.setItem(lastAccountKey, account.id)
    live.follow(account?.id)
  }, [account])
  useEffect(() => () => live.follow(undefined), [])
  if (isStart && session.accounts.length > 0) return <Waiting />
  return (
    <AppFrame session={session} account={account?.id} route={route}>
      {/* A page of its own for each account and input: nothing of the one before is left in its fields. */}
      <CrashGuard key={JSON.stringify(route)}>
        {account === undefined ? <UnknownPage /> : pageOf(route, account.id)}
      </CrashGuard>
    </AppFrame>
  )
}

function pageOf(route: Route, account: string): ReactNode {
  switch (route.name) {
    case 'inputs':
      return <InputsPage account={account} />
    case 'input':
      return <InputPage account={account} id={route.input} />
    case 'settings':
      return <SettingsPage />
    case 'start':
    case 'sign-in':
    case 'unknown':
      return <UnknownPage />
  }
}

function Waiting() {
  return (
    <Center mih="60vh">
      <Loader size="sm" aria-label="Loading" />
    </Center>
  )
}
