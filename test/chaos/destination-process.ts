import { startDestination } from '../support/destination.ts'

/**
 * A friendly destination in a process of its own, so that a test can stop the process (SIGSTOP). Says `port N` when it listens and
 * `publishing` at each publish that it has accepted.
 */
const destination = await startDestination({ recording: 'counts' })
process.stdout.write(`port ${destination.port}\n`)
for (;;) {
  await destination.nextPublish(2 ** 30)
  process.stdout.write('publishing\n')
}
