import { ActionIcon, type MantineColorScheme, Menu, useMantineColorScheme } from '@mantine/core'
import { CheckIcon, MoonIcon, SunIcon, SystemIcon } from '../parts/icons.tsx'

const schemes: readonly {
  readonly value: MantineColorScheme
  readonly words: string
  readonly Icon: typeof SunIcon
}[] = [
  { value: 'auto', words: 'As the system', Icon: SystemIcon },
  { value: 'light', words: 'Light', Icon: SunIcon },
  { value: 'dark', words: 'Dark', Icon: MoonIcon },
]

export function ColorSchemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme({ keepTransitions: true })
  const { Icon } = schemes.find(({ value }) => value === colorScheme) ?? schemes[0]!
  return (
    <Menu position="bottom-end" width={190}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Light or dark">
          <Icon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {schemes.map(({ value, words, Icon }) => (
          <Menu.Item
            key={value}
            leftSection={<Icon size={16} />}
            rightSection={value === colorScheme ? <CheckIcon size={14} /> : undefined}
            aria-current={value === colorScheme ? 'true' : undefined}
            onClick={() => setColorScheme(value)}
          >
            {words}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
