import { Button, Group, Stack, Text } from '@mantine/core'
import { CopyField } from '../parts/CopyField.tsx'

type Props = {
  /** "token": "Copy the token". */
  readonly name: string
  readonly value: string
  /** What it is for. */
  readonly words: string
  readonly onDone: () => void
}

/** A secret that the server keeps in no form that it could be shown from again. */
export function ShownOnce({ name, value, words, onDone }: Props) {
  return (
    <Stack gap="md">
      <Text size="sm">
        <strong>Copy it now: it is shown this once.</strong> {words}
      </Text>
      <CopyField value={value} name={name} />
      <Group justify="flex-end">
        <Button onClick={onDone}>I have copied it</Button>
      </Group>
    </Stack>
  )
}
