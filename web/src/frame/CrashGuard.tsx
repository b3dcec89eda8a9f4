import { Button } from '@mantine/core'
import { Component, type ReactNode } from 'react'
import { EmptyState } from '../parts/EmptyState.tsx'

type State = { readonly error: unknown }

/** What the page did wrong is said, in place of a white page; what lies around it goes on. */
export class CrashGuard extends Component<{ readonly children: ReactNode }, State> {
  override readonly state: State = { error: undefined }

  static getDerivedStateFromError(error: unknown): State {
    return { error: error ?? 'unknown' }
  }

  override render(): ReactNode {
    if (this.state.error === undefined) return this.props.children
    return (
      <main>
        <EmptyState
          title="This page made a mistake"
          action={<Button onClick={() => location.reload()}>Reload the page</Button>}
        >
          What the server does goes on. If it happens again, please report it with these words:{' '}
          <code>{String(this.state.error)}</code>
        </EmptyState>
      </main>
    )
  }
}
