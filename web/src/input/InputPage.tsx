import { lazy } from 'react'
import { useInput, useOutputs } from '../api/queries.ts'

const OutputsSection = lazy(() =>
  import('../outputs/OutputsSection.tsx').then(({ OutputsSection }) => ({ default: OutputsSection })),
)

export function InputPage({ account, id }: { readonly account: string; readonly id: string }) {
  const input = useInput(account, id)
  useOutputs(account, id)
  return input.data ? <OutputsSection input={input.data} /> : null
}
