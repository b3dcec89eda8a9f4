import {
  Anchor,
  Button,
  Collapse,
  Group,
  PasswordInput,
  Stack,
  Switch,
  Text,
  TextInput,
  UnstyledButton,
} from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import type { DestinationPreset } from '../../../src/api/dashboard-types.ts'
import type { WireOutput } from '../../../src/api/schemas.ts'
import type { PreflightEvent, PreflightReport } from '../../../src/model/preflight.ts'
import { ApiFailure, call, callInLines } from '../api/client.ts'
import { ChevronIcon, ExternalIcon } from '../parts/icons.tsx'
import styles from './OutputForm.module.css'
import { changeOf, type Fields, hasOptions, testOf, wishOf } from './output-form.ts'
import { nothingYet, PreflightSteps, type Progress, progressed } from './PreflightSteps.tsx'
import { type Lint, useLint } from './use-lint.ts'
import { outputsPath } from './use-outputs.ts'

type Props = {
  readonly account: string
  readonly input: string
  readonly start: Fields
  /** What it is a form of: an output that is there, or a new one. */
  readonly edited?: WireOutput
  readonly preset?: DestinationPreset | undefined
  readonly onSaved: (output: WireOutput) => void
  /** The button beside the one that saves. */
  readonly back: { readonly words: string; readonly go: () => void }
}

/** Url, key and options of one output, with advice as they are typed and a test before they are saved. */
export function OutputForm({ account, input, start, edited, preset, onSaved, back }: Props) {
  const [fields, setFields] = useState(start)
  const [isWide, setWide] = useState(hasOptions(start))
  const lint = useLint(fields.url, fields.streamKey)
  const test = useTest(account, input)
  const save = useMutation({
    mutationFn: async () => {
      const path = outputsPath(account, input, ...(edited ? [edited.uid] : []))
      const body = edited ? changeOf(start, fields) : wishOf(fields)
      return (await call<WireOutput>(path, { method: edited ? 'PUT' : 'POST', body })).result
    },
    onSuccess: onSaved,
    onError: (error) => {
      if (optionFields.some((name) => refusalAt(error, name) !== undefined)) setWide(true)
    },
  })
  const set = (change: Partial<Fields>) => {
    setFields((before) => ({ ...before, ...change }))
    save.reset()
    test.forget()
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    save.mutate()
  }
  const about = (name: keyof Fields) => refusalAt(save.error, name)
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <div>
          <TextInput
            label="Server url"
            placeholder={preset?.example ?? 'rtmps://live.example.com/app'}
            value={fields.url}
            onChange={(event) => set({ url: event.currentTarget.value })}
            error={about('url')}
            autoComplete="off"
            spellCheck={false}
            data-autofocus={fields.url === '' || undefined}
            aria-describedby="advice-url"
            required
          />
          <Advice id="advice-url" found={about('url') === undefined ? lint.url : undefined} />
          <OtherUrls preset={preset} url={fields.url} onPick={(url) => set({ url })} />
        </div>
        <div>
          <PasswordInput
            label="Stream key"
            value={fields.streamKey}
            onChange={(event) => set({ streamKey: event.currentTarget.value })}
            error={about('streamKey')}
            autoComplete="off"
            spellCheck={false}
            data-autofocus={fields.url !== '' || undefined}
            aria-describedby="advice-key"
            visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the stream key' }}
            required
          />
          <Advice id="advice-key" found={about('streamKey') === undefined ? lint.streamKey : undefined} />
          {preset !== undefined && <KeyHelp preset={preset} />}
        </div>
        <TextInput
          label="Name"
          description="As it shall be called here. Without one, the host is its name."
          placeholder={preset?.name ?? 'Main stage'}
          value={fields.name}
          onChange={(event) => set({ name: event.currentTarget.value })}
          error={about('name')}
          autoComplete="off"
        />
        <div>
          <UnstyledButton
            type="button"
            className={styles['more']}
            onClick={() => setWide(!isWide)}
            aria-expanded={isWide}
            aria-controls="output-options"
          >
            <ChevronIcon size={16} data-open={isWide || undefined} /> Login, certificate and resuming
          </UnstyledButton>
          <Collapse expanded={isWide} id="output-options" keepMounted={false}>
            <Options fields={fields} set={set} about={about} hasPassword={edited?.username !== undefined} />
          </Collapse>
        </div>
        {(test.isRunning || test.report !== undefined) && (
          <PreflightSteps report={test.report} progress={test.progress} isSecure={/^rtmps:/i.test(fields.url.trim())} />
        )}
        {test.failure !== undefined && <Failure words={`Not tested: ${test.failure}`} />}
        {save.error !== null && !isAtField(save.error) && <Failure words={`Not saved: ${wordsOf(save.error)}`} />}
        <Group justify="space-between" gap="sm">
          <Button variant="default" onClick={() => test.run(fields)} loading={test.isRunning}>
            Test
          </Button>
          <Group gap="sm">
            <Button variant="default" onClick={back.go}>
              {back.words}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {edited ? 'Save' : 'Add output'}
            </Button>
          </Group>
        </Group>
      </Stack>
    </form>
  )
}

const optionFields = ['username', 'password', 'fingerprint', 'resumeSeconds'] as const
const shownFields: readonly (keyof Fields)[] = ['url', 'streamKey', 'name', ...optionFields]

/** What the server has refused of one field; `tls` is one field of the API and two of this form. */
function refusalAt(error: unknown, name: keyof Fields): string | undefined {
  if (!(error instanceof ApiFailure)) return undefined
  return error.at(name === 'fingerprint' ? '/tls/fingerprint' : `/${name}`)
}

function isAtField(error: unknown): boolean {
  return shownFields.some((name) => refusalAt(error, name) !== undefined)
}

function wordsOf(error: unknown): string {
  return error instanceof ApiFailure ? error.message : 'The page made a mistake. Reload it, and try again.'
}

type TestState = {
  readonly isRunning: boolean
  readonly progress: Progress
  readonly report?: PreflightReport
  readonly failure?: string
}
const noTest: TestState = { isRunning: false, progress: nothingYet }

/** Tries what stands in the fields. What is typed meanwhile makes an end of it. */
function useTest(account: string, input: string) {
  const underWay = useRef<AbortController>(undefined)
  const [state, setState] = useState<TestState>(noTest)
  useEffect(() => () => underWay.current?.abort(), [])
  return {
    ...state,
    forget() {
      underWay.current?.abort()
      setState((before) => (before.isRunning || before.report || before.failure ? noTest : before))
    },
    async run(fields: Fields) {
      underWay.current?.abort()
      const controller = new AbortController()
      underWay.current = controller
      const { signal } = controller
      setState({ ...noTest, isRunning: true })
      try {
        const path = outputsPath(account, input, 'test')
        const { result } = await callInLines<PreflightReport, PreflightEvent>(
          path,
          { method: 'POST', body: testOf(fields), signal },
          (line) => {
            if (!signal.aborted) setState((before) => ({ ...before, progress: progressed(before.progress, line) }))
          },
        )
        if (!signal.aborted) setState({ ...noTest, report: result })
      } catch (error) {
        if (!signal.aborted) setState({ ...noTest, failure: wordsOf(error) })
      }
    },
  }
}

function Advice({ id, found }: { readonly id: string; readonly found: Lint['url'] }) {
  return (
    <p id={id} className={styles['advice']} data-refused={found?.isRefused || undefined} aria-live="polite">
      {found?.message}
    </p>
  )
}

/** The other addresses of the platform: RTMP in place of RTMPS, or the backup. */
function OtherUrls({
  preset,
  url,
  onPick,
}: { readonly preset: Props['preset']; readonly url: string } & {
  readonly onPick: (url: string) => void
}) {
  const others = preset?.urls.filter((each) => each.url !== url.trim()) ?? []
  if (others.length === 0) return null
  return (
    <div className={styles['urls']}>
      <span>Also:</span>
      {others.map((each) => (
        <UnstyledButton key={each.url} type="button" onClick={() => onPick(each.url)} title={each.url}>
          {each.protocol.toUpperCase()}
          {each.backup ? ' backup' : ''}
        </UnstyledButton>
      ))}
    </div>
  )
}

function KeyHelp({ preset }: { readonly preset: DestinationPreset }) {
  return (
    <div className={styles['help']}>
      <p>
        {preset.keyHelp}
        {preset.keyPage !== undefined && (
          <>
            {' '}
            <Anchor href={preset.keyPage} target="_blank" rel="noreferrer" inherit underline="always">
              Open the page <ExternalIcon size={13} />
            </Anchor>
          </>
        )}
      </p>
      {preset.notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
    </div>
  )
}

type OptionsProps = {
  readonly fields: Fields
  readonly set: (change: Partial<Fields>) => void
  readonly about: (name: keyof Fields) => string | undefined
  readonly hasPassword: boolean
}

function Options({ fields, set, about, hasPassword }: OptionsProps) {
  return (
    <Stack gap="md" pt="sm">
      <Group grow align="start" gap="sm">
        <TextInput
          label="User name"
          value={fields.username}
          onChange={(event) => set({ username: event.currentTarget.value })}
          error={about('username')}
          autoComplete="off"
        />
        <PasswordInput
          label="Password"
          placeholder={hasPassword ? 'as it is' : ''}
          value={fields.password}
          onChange={(event) => set({ password: event.currentTarget.value })}
          error={about('password')}
          autoComplete="new-password"
          visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
        />
      </Group>
      <Switch
        label="Check the certificate of the server"
        description="RTMPS only. Without the check, anybody between here and there can read the key."
        checked={fields.verify}
        onChange={(event) => set({ verify: event.currentTarget.checked })}
      />
      <TextInput
        label="Fingerprint"
        description="SHA-256 of the one certificate that is taken, signed by whomever."
        value={fields.fingerprint}
        onChange={(event) => set({ fingerprint: event.currentTarget.value })}
        error={about('fingerprint')}
        spellCheck={false}
        autoComplete="off"
      />
      <TextInput
        label="Resume, seconds"
        description="After a lost connection, send what was missed, at most so much of it. Empty: go on with the newest."
        inputMode="numeric"
        value={fields.resumeSeconds}
        onChange={(event) => set({ resumeSeconds: event.currentTarget.value.replaceAll(/\D/g, '') })}
        error={about('resumeSeconds')}
        autoComplete="off"
      />
    </Stack>
  )
}

function Failure({ words }: { readonly words: string }) {
  return (
    <Text role="alert" size="sm" c="var(--app-bad)">
      {words}
    </Text>
  )
}
