import { Button } from '@mantine/core'
import { EmptyState } from '../parts/EmptyState.tsx'

export function UnknownPage() {
  return (
    <EmptyState
      title="There is nothing here"
      action={
        <Button component="a" href="#/">
          To the live inputs
        </Button>
      }
    >
      The address leads nowhere, or to an account that you may not see.
    </EmptyState>
  )
}
