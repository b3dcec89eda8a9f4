import { Modal, TextInput, UnstyledButton } from '@mantine/core'
import { useState } from 'react'
import type { DestinationPreset } from '../../../src/api/dashboard-types.ts'
import type { WireOutput } from '../../../src/api/schemas.ts'
import { SearchIcon } from '../parts/icons.tsx'
import styles from './AddOutput.module.css'
import { OutputForm } from './OutputForm.tsx'
import { emptyFields } from './output-form.ts'
import { PlatformMark } from './PlatformMark.tsx'
import { usePresets } from './presets.ts'

type Props = {
  readonly account: string
  readonly input: string
  readonly opened: boolean
  readonly onClose: () => void
  readonly onAdded: (output: WireOutput) => void
}

/** Of the preset that is any server at all. */
const customId = 'custom'

/** First where to, then with which key. */
export function AddOutput({ account, input, opened, onClose, onAdded }: Props) {
  const [choice, setChoice] = useState<DestinationPreset>()
  const close = () => {
    onClose()
    setChoice(undefined)
  }
  const added = (output: WireOutput) => {
    close()
    onAdded(output)
  }
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={choice ? `Add an output: ${choice.name}` : 'Where shall it go?'}
      size="lg"
    >
      {choice === undefined ? (
        <Choices onChoose={setChoice} />
      ) : (
        <OutputForm
          key={choice.id}
          account={account}
          input={input}
          start={{ ...emptyFields, url: choice.urls[0]?.url ?? '', name: choice.id === customId ? '' : choice.name }}
          preset={choice}
          onSaved={added}
          back={{ words: 'Back', go: () => setChoice(undefined) }}
        />
      )}
    </Modal>
  )
}

function Choices({ onChoose }: { readonly onChoose: (choice: DestinationPreset) => void }) {
  const { data: presets = [] } = usePresets()
  const [wanted, setWanted] = useState('')
  // Any other server is offered to whoever looks for something that is not there.
  const found = presets.filter(
    ({ id, name }) => id === customId || name.toLowerCase().includes(wanted.trim().toLowerCase()),
  )
  return (
    <>
      <TextInput
        aria-label="Search a platform"
        placeholder="Search a platform"
        leftSection={<SearchIcon size={16} />}
        value={wanted}
        onChange={(event) => setWanted(event.currentTarget.value)}
        data-autofocus
        mb="md"
      />
      <ul className={styles['choices']}>
        {found.map((choice) => (
          <li key={choice.id}>
            <UnstyledButton className={styles['choice']} onClick={() => onChoose(choice)}>
              <PlatformMark platform={choice.id} size="large" />
              <span className={styles['title']}>{choice.name}</span>
            </UnstyledButton>
          </li>
        ))}
      </ul>
    </>
  )
}
