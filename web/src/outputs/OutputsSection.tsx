import { Button, Modal, Skeleton, Text } from '@mantine/core'
import { useState } from 'react'
import type { WireLiveInput, WireOutput } from '../../../src/api/schemas.ts'
import { useWatchedInput } from '../api/live.ts'
import { useMay, useOutputs } from '../api/queries.ts'
import { ConfirmDanger } from '../parts/ConfirmDanger.tsx'
import { EmptyState } from '../parts/EmptyState.tsx'
import { PlusIcon, SignalIcon } from '../parts/icons.tsx'
import { Panel } from '../parts/Panel.tsx'
import { useAccount } from '../router.tsx'
import { AddOutput } from './AddOutput.tsx'
import { OutputForm } from './OutputForm.tsx'
import { OutputRow, type RowAction } from './OutputRow.tsx'
import styles from './OutputsSection.module.css'
import { OutputTest } from './OutputTest.tsx'
import { fieldsOf } from './output-form.ts'
import { nameOfOutput } from './output-words.ts'
import { presetOf, usePresets } from './presets.ts'
import { useOutputActions } from './use-outputs.ts'

type Dialog = { readonly name: 'add' } | { readonly name: Exclude<RowAction, 'retry'>; readonly output: WireOutput }

/** Where a live input is sent on to: one row for each output, in the order in which they were added. */
export function OutputsSection({ input }: { readonly input: WireLiveInput }) {
  const account = useAccount()
  useWatchedInput(input.uid)
  const mayWrite = useMay(account, 'write')
  const { data: outputs } = useOutputs(account, input.uid)
  const { data: presets } = usePresets()
  const actions = useOutputActions(account, input.uid)
  const [dialog, setDialog] = useState<Dialog>()
  const close = () => setDialog(undefined)
  const act = (name: RowAction, output: WireOutput) =>
    name === 'retry' ? actions.retry(output) : setDialog({ name, output })

  const add = (
    <Button
      className={styles['action'] ?? ''}
      size="sm"
      leftSection={<PlusIcon size={16} />}
      onClick={() => setDialog({ name: 'add' })}
    >
      Add output
    </Button>
  )
  return (
    <Panel
      title={
        outputs?.length
          ? `Outputs (${outputs.filter(({ enabled }) => enabled).length} of ${outputs.length} on)`
          : 'Outputs'
      }
      isFlush
      actions={
        outputs?.length && mayWrite ? (
          <>
            <AllSwitches outputs={outputs} onSwitch={actions.switchAll} />
            {add}
          </>
        ) : undefined
      }
    >
      {outputs === undefined ? (
        <div className={styles['loading']}>
          <Skeleton height={56} />
          <Skeleton height={56} />
        </div>
      ) : outputs.length === 0 ? (
        <EmptyState title="Nowhere to go yet" icon={<SignalIcon size={24} />} action={mayWrite && add}>
          Add the platforms that shall show this live input. Each gets the feed as the encoder sends it, and none
          disturbs another: they can be added, switched and removed while you are live.
        </EmptyState>
      ) : (
        <ul className={styles['rows']}>
          {outputs.map((output) => (
            <OutputRow
              key={output.uid}
              input={input.uid}
              inputIsEnabled={input.enabled}
              mayWrite={mayWrite}
              output={output}
              preset={presetOf(presets, output.url)}
              onSwitch={actions.switchOne}
              onAction={act}
            />
          ))}
        </ul>
      )}
      <AddOutput
        account={account}
        input={input.uid}
        opened={dialog?.name === 'add'}
        onClose={close}
        onAdded={actions.put}
      />
      <Modal
        opened={dialog?.name === 'edit' || dialog?.name === 'duplicate'}
        onClose={close}
        title={
          dialog && 'output' in dialog
            ? `${dialog.name === 'edit' ? 'Edit' : 'Duplicate'} ${nameOfOutput(dialog.output)}`
            : ''
        }
        size="lg"
      >
        {(dialog?.name === 'edit' || dialog?.name === 'duplicate') && (
          <OutputForm
            account={account}
            input={input.uid}
            start={dialog.name === 'edit' ? fieldsOf(dialog.output) : copyOf(dialog.output)}
            {...(dialog.name === 'edit' && { edited: dialog.output })}
            preset={presetOf(presets, dialog.output.url)}
            onSaved={(output) => {
              close()
              actions.put(output)
            }}
            back={{ words: 'Cancel', go: close }}
          />
        )}
      </Modal>
      <Modal
        opened={dialog?.name === 'test'}
        onClose={close}
        title={dialog?.name === 'test' ? `Test of ${nameOfOutput(dialog.output)}` : ''}
      >
        {dialog?.name === 'test' && <OutputTest account={account} input={input.uid} output={dialog.output} />}
      </Modal>
      <ConfirmDanger
        opened={dialog?.name === 'delete'}
        onClose={close}
        title={dialog?.name === 'delete' ? `Delete ${nameOfOutput(dialog.output)}?` : ''}
        action="Delete the output"
        onConfirm={() => {
          if (dialog?.name === 'delete') actions.remove(dialog.output)
          close()
        }}
      >
        <Text size="sm">
          While you are live, its connection ends at once. Its url and stream key are forgotten here; on the platform
          nothing changes. To pause it, switch it off instead.
        </Text>
      </ConfirmDanger>
    </Panel>
  )
}

/** The key is copied with the rest: on most platforms two outputs cannot use the same one, which the form leaves to be changed. */
function copyOf(output: WireOutput) {
  const fields = fieldsOf(output)
  return { ...fields, name: fields.name === '' ? '' : `${fields.name} copy`, streamKey: '' }
}

type SwitchesProps = {
  readonly outputs: readonly WireOutput[]
  readonly onSwitch: (enabled: boolean) => void
}

/** Switching all off while live is asked about: it ends every broadcast. */
function AllSwitches({ outputs, onSwitch }: SwitchesProps) {
  const [isAsking, setAsking] = useState(false)
  const on = outputs.filter(({ enabled }) => enabled).length
  const off = () => {
    setAsking(false)
    onSwitch(false)
  }
  return (
    <>
      <Button
        className={styles['action'] ?? ''}
        size="sm"
        variant="default"
        disabled={on === outputs.length}
        onClick={() => onSwitch(true)}
      >
        All on
      </Button>
      <Button
        className={styles['action'] ?? ''}
        size="sm"
        variant="default"
        disabled={on === 0}
        onClick={() => setAsking(true)}
      >
        All off
      </Button>
      <ConfirmDanger
        opened={isAsking}
        onClose={() => setAsking(false)}
        title="Switch all outputs off?"
        action="Switch all off"
        onConfirm={off}
      >
        <Text size="sm">
          {on === 1 ? 'The one that is on ends at once.' : `All ${on} that are on end at once.`} The encoder can go on
          sending; All on begins them again.
        </Text>
      </ConfirmDanger>
    </>
  )
}
