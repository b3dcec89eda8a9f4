import { Button, Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { WireOutput } from '../../../src/api/schemas.ts'
import type { PreflightEvent, PreflightReport } from '../../../src/model/preflight.ts'
import { ApiFailure, callInLines } from '../api/client.ts'
import { nothingYet, PreflightSteps, progressed } from './PreflightSteps.tsx'
import { outputsPath } from './use-outputs.ts'

type Props = { readonly account: string; readonly input: string; readonly output: WireOutput }

/** Tries the destination of an output that is there, as soon as it is opened. A broadcast that goes on there is not touched. */
export function OutputTest({ account, input, output }: Props) {
  const [progress, setProgress] = useState(nothingYet)
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ['output-test', account, input, output.uid],
    queryFn: async ({ signal }) => {
      setProgress(nothingYet)
      const { result } = await callInLines<PreflightReport, PreflightEvent>(
        outputsPath(account, input, 'test'),
        { method: 'POST', body: { output_id: output.uid }, signal },
        (line) => setProgress((before) => progressed(before, line)),
      )
      return result
    },
    // Each look is a test of its own.
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  })
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        Connects as for a broadcast, and stops before anything is published.
      </Text>
      {error !== null && !isFetching ? (
        <Text role="alert" size="sm" c="var(--app-bad)">
          Not tested:{' '}
          {error instanceof ApiFailure ? error.message : 'the page made a mistake. Reload it, and try again.'}
        </Text>
      ) : (
        <PreflightSteps
          report={isFetching ? undefined : data}
          progress={progress}
          isSecure={/^rtmps:/i.test(output.url)}
        />
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={() => void refetch()} loading={isFetching}>
          Test again
        </Button>
      </Group>
    </Stack>
  )
}
