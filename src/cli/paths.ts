import type { Invocation } from './command.ts'

/** Below /client/v4. What was typed stands in them as it is: whether it is an id is the server's to say. */
export async function inputsPath(invocation: Invocation): Promise<string> {
  return `/accounts/${await invocation.account()}/stream/live_inputs`
}

/** Of the input that is named first. */
export async function inputPath(invocation: Invocation): Promise<string> {
  return `${await inputsPath(invocation)}/${encodeURIComponent(invocation.given[0] ?? '')}`
}

/** Of the output that is named second. */
export async function outputPath(invocation: Invocation): Promise<string> {
  return `${await inputPath(invocation)}/outputs/${encodeURIComponent(invocation.given[1] ?? '')}`
}
