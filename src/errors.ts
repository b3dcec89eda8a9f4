/**
 * Every error that a person or a program can meet has a stable code and a sentence that says what to do.
 * docs/error-codes.md lists them; a test keeps the two equal. A code is never renamed or given a second meaning.
 */

/** Why an output is not (or no longer) live. On the wire: `status.current.reason` and `health.lastError.code`. */
export const outputErrorCodes = {
  no_progress: 'The destination stopped taking data. The output is connected again by itself.',
  connect_timeout:
    'The destination did not answer in time. Check host and port, and that a firewall lets the connection out.',
  publish_timeout:
    'The destination accepted the connection but never confirmed the publish. Check the stream key, or ask the platform.',
  connection_reset: 'The destination cut the connection. The output is connected again by itself.',
  connection_refused: 'Nothing listens at the host and port of the destination. Check the url.',
  dns_failed: 'The host name of the destination could not be resolved. Check its spelling in the url.',
  already_publishing:
    'The destination says that this stream key is in use. Stop the other sender, or wait until its session times out.',
  closed_after_publish:
    'The destination closed the connection, or said that it failed, shortly after it had accepted the publish; most platforms do this for a wrong or expired stream key. Check the key.',
  protocol_violation:
    'The destination sent something that is not valid RTMP, or far too much of it. Check that url and port belong to an RTMP server.',
  certificate_expired:
    'The TLS certificate of the destination has expired or is not valid yet. Its operator must renew it.',
  certificate_host_mismatch:
    'The TLS certificate of the destination was made for another host name. Check the host in the url.',
  certificate_untrusted:
    'The TLS certificate of the destination is not signed by a known authority. Add the authority with NODE_EXTRA_CA_CERTS, or pin the certificate.',
  tls_failed:
    'The TLS handshake with the destination failed. Check that the port speaks TLS, or use rtmp:// in place of rtmps://.',
  redirect_loop: 'The destination sent the connection on to other addresses too many times.',
  loop_detected:
    'The output leads back to the live input that it comes from, directly or by way of other servers. Remove it, or give it another destination.',
  publish_denied: 'The destination refused the stream key or the login. Check the key, and whether it has expired.',
  connect_rejected: 'The destination refused the connection or the application name. Check the path of the url.',
  codec_refused:
    'The destination does not take the codec that the encoder sends. Send H.264 and AAC, or remove this output.',
  destination_not_allowed:
    'The address of the destination is loopback, private, link-local or otherwise not public. Add its CIDR to STREAM_CONNECT_DESTINATION_ALLOW to permit it.',
  destination_invalid: 'The url of the destination cannot be used. Correct the url of the output.',
  internal_error:
    'The server made a mistake while serving this output; it is tried again. Please report it with the log.',
} as const satisfies Record<string, string>
export type OutputErrorCode = keyof typeof outputErrorCodes

/** What is wrong with an output that is live all the same. On the wire: `health.warning.code`. */
export const outputWarningCodes = {
  too_slow:
    'The destination accepts less than the encoder sends, and pictures are left out for it. Check the way to it, or lower the bitrate of the encoder.',
} as const satisfies Record<string, string>
export type OutputWarningCode = keyof typeof outputWarningCodes

/** Why the server did not start. Exit status 2. */
export const startErrorCodes = {
  setting_invalid: 'A setting has a value that cannot be used. The message names setting, value and mend.',
  setting_unknown: 'A flag or a STREAM_CONNECT_ variable has a name that this server does not know.',
  port_taken: 'Another program listens on a port that this server needs.',
  data_dir_unusable: 'The data directory cannot be created, read or written.',
  data_dir_in_use: 'Another server runs on the same data directory.',
  data_dir_newer: 'The database was written by a newer version of this server.',
  data_dir_corrupt: 'The database is damaged.',
  secret_key_wrong: 'SECRET_KEY is not the key that this database was encrypted with.',
} as const satisfies Record<string, string>
export type StartErrorCode = keyof typeof startErrorCodes

/** Why a publisher (an encoder) was refused or cut. Only in logs and events; RTMP has its own words for the encoder. */
export const ingestErrorCodes = {
  handshake_timeout: 'The encoder did not finish the RTMP handshake in time.',
  publish_not_received: 'The encoder connected but never asked to publish.',
  not_rtmp: 'The first byte is not RTMP. TLS and HTTP have ports of their own.',
  rtmp_malformed: 'The encoder sent bytes that are not valid RTMP.',
  stream_key_unknown: 'The stream key belongs to no live input.',
  input_disabled: 'The live input is disabled.',
  input_deleted: 'The live input was deleted.',
  keys_rotated: 'The stream key was replaced by a new one.',
  publisher_replaced: 'Another encoder took over with the same stream key.',
  publisher_idle: 'The encoder sent nothing for too long.',
  feed_loops: 'The feed is what this live input itself sends out, come back over one of its outputs.',
  limit_exceeded: 'The encoder exceeded a limit of the protocol.',
} as const satisfies Record<string, string>
export type IngestErrorCode = keyof typeof ingestErrorCodes

/** What an encoder should be set to otherwise, though it is relayed as it is. On the wire: `health.warnings` of a live input. */
export const inputWarningCodes = {
  bitrate_high: 'The encoder sends more than is recommended (MAX_BITRATE_KBPS). Lower its bitrate.',
  upload_slow:
    "The feed arrives slower than it plays: the encoder's connection is too slow. Lower its bitrate, or use a faster connection.",
  keyframe_interval_long: 'Key frames are more than 4 s apart. Set the key frame interval (GOP) of the encoder to 2 s.',
  keyframe_interval_irregular:
    'Key frames come at uneven intervals. Set a fixed key frame interval (GOP) of 2 s in the encoder, and turn off its scene cut detection.',
  open_gop:
    'Key frames begin open groups of pictures, so that who joins there sees broken pictures at first. Turn off open GOP in the encoder.',
  audio_missing:
    'The encoder has sent no sound for 5 s or more. Give it an audio source, be it silence: many platforms want one.',
  video_missing:
    'The encoder has sent no picture for 5 s or more. Give it a video source, be it a still picture: most platforms want one.',
  timestamps_jumped:
    "The encoder's timestamps have jumped; they were straightened. If it happens again, restart or update the encoder.",
  codec_not_taken:
    'The encoder sends a codec that some of the destinations are not known to take. Send H.264, or remove those outputs.',
  encoders_fight:
    'Two encoders publish with the same stream key and take over from one another. Stop one of them, or rotate the keys.',
} as const satisfies Record<string, string>
export type InputWarningCode = keyof typeof inputWarningCodes

/** Errors of the store's contract. */
export const storeErrorCodes = {
  revision_conflict: 'The document was changed by someone else since it was read.',
  key_invalid: 'Keys are tokens of A-Z a-z 0-9 _ - joined by dots.',
  value_too_large: 'A stored value may have 512 KiB at most.',
  store_closed: 'The store is closed.',
  store_full: 'The disk or the database is full. Free some room.',
  store_failed: 'The database could not carry out the operation.',
  store_restarting:
    'The database thread has ended unexpectedly and is started anew; what it was doing may have been done. Look, and try again.',
} as const satisfies Record<string, string>
export type StoreErrorCode = keyof typeof storeErrorCodes

/** Errors of the bus's contract. */
export const busErrorCodes = {
  no_responder: 'Nobody answers requests on this subject.',
  request_timeout: 'The request was not answered before its deadline.',
  bus_closed: 'The bus is closed.',
} as const satisfies Record<string, string>
export type BusErrorCode = keyof typeof busErrorCodes

export type ErrorCode = OutputErrorCode | StartErrorCode | IngestErrorCode | StoreErrorCode | BusErrorCode

/** The sentence of a code, for a place that has nothing more exact to say. */
export function sentenceOf(code: ErrorCode): string {
  return { ...outputErrorCodes, ...startErrorCodes, ...ingestErrorCodes, ...storeErrorCodes, ...busErrorCodes }[code]
}

/** An error with a stable code. `message` is the sentence for a person; without one the code's own sentence is used. */
export class CodedError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code

  constructor(code: Code, message?: string, options?: { cause?: unknown }) {
    super(message ?? sentenceOf(code), options)
    this.name = 'CodedError'
    this.code = code
  }
}

export function isCoded<Code extends ErrorCode>(error: unknown, code: Code): error is CodedError<Code> {
  return error instanceof CodedError && error.code === code
}
