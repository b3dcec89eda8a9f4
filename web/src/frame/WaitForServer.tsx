import { Button } from '@mantine/core'
import { useEffect } from 'react'
import { keys, queryClient } from '../api/queries.ts'
import { EmptyState } from '../parts/EmptyState.tsx'

const againMs = 3_000

/** Before anything could be loaded: it goes on by itself as soon as the server is there. */
export function WaitForServer({ error }: { readonly error: Error }) {
  const again = () => void queryClient.invalidateQueries({ queryKey: keys.session })
  useEffect(() => {
    const timer = setInterval(again, againMs)
    return () => clearInterval(timer)
  })
  return (
    <main role="alert">
      <EmptyState title="The server does not answer" action={<Button onClick={again}>Try now</Button>}>
        {error.message} This page goes on by itself as soon as it does.
      </EmptyState>
    </main>
  )
}
