import { Button, Text } from '@mantine/core'
import { useState } from 'react'
import { ApiFailure } from '../api/client.ts'
import { useCreateInput, useMay } from '../api/queries.ts'
import { PlusIcon } from '../parts/icons.tsx'
import { goTo } from '../router.tsx'
import { NameDialog } from './NameDialog.tsx'

/** The button and its dialog; what was made is shown at once, as its server and key are what comes next. */
export function CreateInput({ account }: { readonly account: string }) {
  return useMay(account, 'write') ? <CreateButton account={account} /> : null
}

function CreateButton({ account }: { readonly account: string }) {
  const [opened, setOpened] = useState(false)
  const create = useCreateInput(account)
  const open = () => {
    create.reset()
    setOpened(true)
  }
  return (
    <>
      <Button leftSection={<PlusIcon size={16} />} onClick={open}>
        Create live input
      </Button>
      <NameDialog
        opened={opened}
        onClose={() => setOpened(false)}
        title="Create a live input"
        action="Create"
        isBusy={create.isPending}
        problem={create.error instanceof ApiFailure ? create.error.message : create.error?.message}
        onSubmit={(name) =>
          create.mutate(name, {
            onSuccess: ({ uid }) => {
              setOpened(false)
              goTo({ name: 'input', account, input: uid })
            },
          })
        }
      >
        <Text size="sm" c="dimmed">
          One live input takes the feed of one encoder and has a stream key of its own.
        </Text>
      </NameDialog>
    </>
  )
}
