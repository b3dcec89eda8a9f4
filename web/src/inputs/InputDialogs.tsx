import { List, Text } from '@mantine/core'
import { useRef, useState } from 'react'
import { currentOf, live } from '../api/live.ts'
import { nameOf, useDeleteInput, useOutputs, useRenameInput, useSwitchInput } from '../api/queries.ts'
import { ConfirmDanger } from '../parts/ConfirmDanger.tsx'
import type { ActedOn, InputAction } from './InputMenu.tsx'
import { viewOf } from './input-state.ts'
import { NameDialog } from './NameDialog.tsx'

/** @param onDeleted after the server has agreed. */
export function useInputDialogs(account: string, onDeleted?: () => void) {
  const [dialog, setDialog] = useState<{ readonly action: InputAction; readonly input: ActedOn }>()
  const [isOpen, setOpen] = useState(false)
  const rename = useRenameInput(account)
  const switchInput = useSwitchInput(account)
  const remove = useDeleteInput(account)
  const askedFrom = useRef<Element>(null)
  const close = () => {
    setOpen(false)
    // These dialogs are made when they are opened, too late to see for themselves what had the focus.
    const { current } = askedFrom
    if (current instanceof HTMLElement) setTimeout(() => current.focus(), 0)
  }

  const act = (action: InputAction, input: ActedOn) => {
    // Nothing is cut by enabling, nor by disabling what nobody sends to.
    if (action === 'switch' && (!input.enabled || !isOnAir(input))) {
      switchInput.mutate({ input, enabled: !input.enabled })
      return
    }
    askedFrom.current = document.activeElement
    setDialog({ action, input })
    setOpen(true)
  }

  const shown = (action: InputAction) => isOpen && dialog?.action === action
  const input = dialog?.input
  const dialogs = input && (
    <>
      <NameDialog
        key={`rename-${input.uid}`}
        opened={shown('rename')}
        onClose={close}
        title="Rename the live input"
        action="Rename"
        name={nameIn(input)}
        onSubmit={(name) => {
          rename.mutate({ input, name })
          close()
        }}
      />
      <ConfirmDanger
        opened={shown('switch')}
        onClose={close}
        title={`Disable ${nameOf(input)}?`}
        action="Disable, and cut what is live"
        onConfirm={() => {
          switchInput.mutate({ input, enabled: false })
          close()
        }}
      >
        <Text size="sm">
          It is live now. The encoder is cut off, and its outputs end at once. While it is disabled, no encoder is let
          in; the stream key stays the same.
        </Text>
      </ConfirmDanger>
      <ConfirmDanger
        opened={shown('delete')}
        onClose={close}
        title={`Delete ${nameOf(input)}?`}
        action="Delete the live input"
        onConfirm={() => {
          remove.mutate(input, { onSuccess: () => onDeleted?.() })
          close()
        }}
      >
        <WhatIsCut account={account} input={input} />
      </ConfirmDanger>
    </>
  )
  return { act, dialogs }
}

function WhatIsCut({ account, input }: { readonly account: string; readonly input: ActedOn }) {
  const { data: outputs } = useOutputs(account, input.uid)
  const count = outputs?.length
  const itsOutputs = count === undefined ? 'Its outputs' : count === 1 ? 'Its output' : `Its ${count} outputs`
  return (
    <List size="sm" spacing={6}>
      {isOnAir(input) && (
        <List.Item fw={600}>It is live now: the encoder is cut off, and its outputs end at once.</List.Item>
      )}
      <List.Item>Its stream key stops working for good: an encoder that is set to it is refused.</List.Item>
      {count !== 0 && (
        <List.Item>
          {itsOutputs} {count === 1 ? 'is' : 'are'} deleted, with the keys of the platforms.
        </List.Item>
      )}
      <List.Item>This cannot be undone.</List.Item>
    </List>
  )
}

/** Its encoder sends, or its outputs wait for it to come back. */
function isOnAir({ uid, current }: ActedOn): boolean {
  const { kind } = viewOf(true, currentOf(live.inputStatus(uid), current))
  return kind === 'live' || kind === 'held'
}

function nameIn({ meta }: ActedOn): string {
  return typeof meta['name'] === 'string' ? meta['name'] : ''
}
