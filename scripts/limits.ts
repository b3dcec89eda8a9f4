import { apiLimits } from './limits-of-the-api.ts'

/** The table of docs/limits.md. The values are not here: they are read from the code that each row names. */

export type LimitRow = {
  readonly limit: string
  /** `file#constant`, `file#constant.member` or `setting#NAME`; several are printed one after the other. */
  readonly of: string | readonly string[]
  readonly unit: 'ms' | 's' | 'bytes' | 'bytes/s' | 'kbit/s' | '/s' | 'count'
  readonly why: string
  /** File, and the beginning of the test's title. */
  readonly test: readonly [file: string, title: string]
}

export type LimitSection = { readonly title: string; readonly rows: readonly LimitRow[] }

const ingest = 'src/live/ingest-server.ts'
const door = 'src/live/doorkeeper.ts'
const failedKeys = 'src/live/failed-keys.ts'
const input = 'src/live/input-session.ts'
const reader = 'src/rtmp/chunk-reader.ts'
const connection = 'src/rtmp/connection.ts'
const accept = 'src/rtmp/accept-publish.ts'
const amf = 'src/rtmp/amf0.ts'
const output = 'src/live/output-connection.ts'
const session = 'src/live/output-session.ts'
const url = 'src/destination/destination-url.ts'
const lookUp = 'src/destination/look-up.ts'
const connectFirst = 'src/destination/connect-first.ts'
const headers = 'src/live/media-headers.ts'
const enhanced = 'src/rtmp/enhanced.ts'

const hostile = 'test/hostile/limits.test.ts'
const lookUpTest = 'src/destination/look-up.test.ts'
const deadlines = [hostile, 'of TLS, handshake, connect, publish and media'] as const
const readerTest = 'src/rtmp/chunk-reader.test.ts'
const connectionTest = 'src/rtmp/connection.test.ts'
const acceptTest = 'src/rtmp/accept-publish.test.ts'
const doorTest = 'src/live/doorkeeper.test.ts'
const failedKeysTest = 'src/live/failed-keys.test.ts'
const inputTest = 'src/live/input-session.test.ts'
const floods = [connectionTest, 'floods end the connection, at any pace that no peer needs'] as const
const amfLimits = ['src/rtmp/amf0.test.ts', 'has limits on depth, values and texts'] as const
const broken = [acceptTest, 'what breaks the protocol or a limit'] as const
const delays = [failedKeysTest, 'the first failures are answered at once'] as const

export const limitRows: readonly LimitSection[] = [
  {
    title: 'Encoders: deadlines',
    rows: [
      {
        limit: 'TLS handshake',
        of: `${ingest}#tlsHandshakeMs`,
        unit: 'ms',
        why: 'Encoders need less than one second, a slow link three. Half a handshake costs as much as a connection.',
        test: deadlines,
      },
      {
        limit: 'RTMP handshake',
        of: `${ingest}#handshakeMs`,
        unit: 'ms',
        why: 'As above; whoever sends a byte a second (slow loris) is closed.',
        test: deadlines,
      },
      {
        limit: 'connect and publish, after the handshake',
        of: `${ingest}#publishMs`,
        unit: 'ms',
        why: 'Five messages; MediaMTX gives ten seconds, too.',
        test: deadlines,
      },
      {
        limit: 'first media, and media after a silence',
        of: `${input}#silenceMs`,
        unit: 'ms',
        why: 'Then the input is held, and after the reconnect window (RECONNECT_WINDOW) the encoder is cut.',
        test: deadlines,
      },
      {
        limit: 'a second encoder that sends nothing',
        of: `${input}#candidateSilenceMs`,
        unit: 'ms',
        why: 'It waits for its key frame while the first one still sends.',
        test: [inputTest, 'a second encoder that sends nothing is cut after 30 s'],
      },
      {
        limit: 'no byte at all',
        of: `${ingest}#idleMs`,
        unit: 'ms',
        why: 'A half-open connection; the broadcast was held long before.',
        test: ['src/live/ingest-server.test.ts', 'a publisher of which no byte comes for a minute is given up'],
      },
      {
        limit: "the encoder's own close after our last words",
        of: `${ingest}#farewellMs`,
        unit: 'ms',
        why: 'OBS and GStreamer close first; who goes on sending is cut, and nothing of it is read.',
        test: ['test/hostile/incidents-ingest.test.ts', '#17: a publisher that was refused and goes on sending is cut'],
      },
    ],
  },
  {
    title: 'Encoders: connections before publish',
    rows: [
      {
        limit: 'all together',
        of: `${door}#unpublishedLimits.max`,
        unit: 'count',
        why: 'Each may hold 256 KiB. Above it the oldest of the address that has most must go, so that the door is never shut. Media threads have an equal part each.',
        test: [hostile, 'stays open for encoders however many connections say nothing'],
      },
      {
        limit: 'of one address (IPv6: of one /64)',
        of: `${door}#unpublishedLimits.perNetworkMax`,
        unit: 'count',
        why: 'A studio behind one address has some dozen encoders. Above it the oldest of that address must go.',
        test: [doorTest, 'one address has its share'],
      },
      {
        limit: 'wrong keys of an address that are answered at once',
        of: `${failedKeys}#freeFailures`,
        unit: 'count',
        why: 'A person mistypes. A right key never waits, whoever shares its address. Each media thread counts by itself.',
        test: delays,
      },
      {
        limit: 'wait of the next answer, twice as long for each further one, and the longest',
        of: [`${failedKeys}#firstDelayMs`, `${failedKeys}#longestDelayMs`],
        unit: 'ms',
        why: 'Keys have 128 random bits: the wait is against the load and the log lines of those who guess.',
        test: delays,
      },
      {
        limit: 'one wrong key is forgotten after',
        of: `${failedKeys}#forgetMs`,
        unit: 'ms',
        why: 'An address changes hands.',
        test: [failedKeysTest, 'failures are forgotten, one in ten seconds'],
      },
      {
        limit: 'addresses whose wrong keys are remembered',
        of: `${failedKeys}#networksMax`,
        unit: 'count',
        why: 'About 1 MB; the one that was quiet longest is forgotten first.',
        test: [failedKeysTest, 'the table is bounded'],
      },
      {
        limit: 'wrong keys of an address that are logged one by one, then each so many',
        of: [`${failedKeys}#toldMax`, `${failedKeys}#toldEvery`],
        unit: 'count',
        why: 'A flood of guesses must not be one of log lines.',
        test: [failedKeysTest, 'a flood of failures is not a flood of log lines'],
      },
      {
        limit: 'log lines about strangers, and at once',
        of: ['src/live/stranger-log.ts#lineRate.perSecond', 'src/live/stranger-log.ts#lineRate.burst'],
        unit: '/s',
        why: 'A flood of connections must not fill the disk. How many were left out is told with the next line.',
        test: ['src/live/stranger-log.test.ts', 'a flood of connections is not a flood of log lines'],
      },
      {
        limit: 'bytes before publish',
        of: `${connection}#dialogueBytesMax`,
        unit: 'bytes',
        why: 'A dialogue has some thousand; some encoders begin with media at once.',
        test: [hostile, 'strangers that flood before they publish are cut after 4 MiB'],
      },
      {
        limit: 'messages before publish',
        of: `${accept}#messagesBeforePublishMax`,
        unit: 'count',
        why: 'Media before publish is thrown away; an encoder that goes on so has not understood us.',
        test: broken,
      },
      {
        limit: 'message streams of one connection',
        of: `${accept}#streamsMax`,
        unit: 'count',
        why: 'Encoders use one, SRS allows three. The next createStream is answered with an error.',
        test: [acceptTest, 'at most four streams'],
      },
      {
        limit: 'application and stream name',
        of: `${accept}#nameBytesMax`,
        unit: 'bytes',
        why: "FFmpeg's own bound.",
        test: broken,
      },
      { limit: 'tcUrl', of: `${accept}#tcUrlBytesMax`, unit: 'bytes', why: 'Twice as much.', test: broken },
      {
        limit: 'live inputs that a feed may have come through',
        of: 'src/live/relay-path.ts#relayPathLengthMax',
        unit: 'count',
        why: 'Three in a row are many. Above it the feed is refused as one that turns in a circle.',
        test: ['src/live/relay-path.test.ts', 'a feed that has been here is a loop, and one that comes from too far'],
      },
    ],
  },
  {
    title: 'RTMP, in both directions',
    rows: [
      {
        limit: 'a message, before publish and from a destination',
        of: `${reader}#unknownPeerLimits.messageBytesMax`,
        unit: 'bytes',
        why: 'connect and its like have some hundred bytes.',
        test: [readerTest, 'a message of the longest length passes, a longer one is refused at its header'],
      },
      {
        limit: 'unfinished messages together, before publish and from a destination',
        of: `${reader}#unknownPeerLimits.partialBytesMax`,
        unit: 'bytes',
        why: 'Four messages at once. It is what one connection of a stranger can cost.',
        test: [hostile, 'grows with what strangers send, never with what they announce'],
      },
      {
        limit: 'a message of a publisher',
        of: `${reader}#publisherLimits.messageBytesMax`,
        unit: 'bytes',
        why: 'A key frame of 4K at 100 Mbit/s has 5 MB; MediaMTX allows as much.',
        test: [readerTest, 'a message of the longest length passes, a longer one is refused at its header'],
      },
      {
        limit: 'unfinished messages of a publisher together',
        of: `${reader}#publisherLimits.partialBytesMax`,
        unit: 'bytes',
        why: 'Two of the longest, one of each track.',
        test: [hostile, 'of an encoder with a key is bounded, too: 20 MiB of unfinished messages'],
      },
      {
        limit: 'data and commands of a publisher',
        of: `${reader}#dataBytesMax`,
        unit: 'bytes',
        why: 'Metadata has some hundred bytes; nginx-rtmp takes no longer message of any kind.',
        test: [readerTest, 'data and commands are 1 MiB at most, whatever media may be'],
      },
      {
        limit: 'messages in an aggregate',
        of: 'src/rtmp/aggregate.ts#aggregateMessagesMax',
        unit: 'count',
        why: 'Flash encoders put a second or two into one, which is 200 messages. All of them are taken in one go, before the encoder can be paced.',
        test: ['src/rtmp/aggregate.test.ts', 'have 1,000 messages at most, of whatever kind'],
      },
      {
        limit: 'chunk streams in use',
        of: `${reader}#publisherLimits.chunkStreamsMax`,
        unit: 'count',
        why: 'nginx-rtmp has 32, encoders use fewer than ten.',
        test: [readerTest, '64 chunk streams, of 65,598'],
      },
      {
        limit: 'chunk size',
        of: `${reader}#longestMessage`,
        unit: 'count',
        why: 'Bytes. A larger one (2,147,483,647 is announced by some) counts as this, and nothing is allocated by it; 0 is refused.',
        test: [readerTest, 'tells its chunk size, which is 16,777,215 at most'],
      },
      {
        limit: 'what a chunk counts as, however small it is',
        of: `${connection}#chunkCostBytes`,
        unit: 'bytes',
        why: 'The floor of processor time for chunks of one byte (Red5 #475): wherever bytes are counted, chunks are.',
        test: [hostile, 'an encoder that sends chunks of one byte, of fifty messages in turn'],
      },
      {
        limit: 'commands, and at once',
        of: [`${connection}#commandRate.perSecond`, `${connection}#commandRate.burst`],
        unit: '/s',
        why: "A dialogue has twenty; Akamai's bandwidth checks come by the dozen.",
        test: floods,
      },
      {
        limit: 'user control (pings), and at once',
        of: [`${connection}#userControlRate.perSecond`, `${connection}#userControlRate.burst`],
        unit: '/s',
        why: 'Peers ping once a minute, some in storms of a few dozen.',
        test: floods,
      },
      {
        limit: 'protocol control (acknowledgements), and at once',
        of: [`${connection}#protocolControlRate.perSecond`, `${connection}#protocolControlRate.burst`],
        unit: '/s',
        why: 'YouTube acknowledges every 131,325 bytes: a thousand a second at 1 Gbit/s.',
        test: floods,
      },
      {
        limit: 'bytes from a destination that takes a stream, and at once',
        of: [`${connection}#answerRate.perSecond`, `${connection}#answerRate.burst`],
        unit: 'bytes/s',
        why: 'It has nothing to send but acknowledgements: 16 KB a second at 1 Gbit/s.',
        test: [connectionTest, 'a destination that floods with bytes or chunks is cut'],
      },
      {
        limit: 'bytes between two acknowledgements of ours, at least and at most',
        of: [`${connection}#acknowledgeBytesMin`, `${connection}#acknowledgeBytesMax`],
        unit: 'bytes',
        why: 'A window of one byte would ask for sixteen bytes back for each one. Wirecast waits for some without announcing a window.',
        test: [connectionTest, 'acknowledgements: every 1.25 MB without being asked'],
      },
      {
        limit: 'answers that a peer leaves unread',
        of: `${connection}#unsentBytesMax`,
        unit: 'bytes',
        why: 'All answers of a dialogue have some thousand bytes.',
        test: [connectionTest, 'a peer that does not read its answers is cut'],
      },
      {
        limit: 'AMF: levels',
        of: `${amf}#amfLimits.depthMax`,
        unit: 'count',
        why: 'Commands have three; a recursion without end would use up the stack.',
        test: amfLimits,
      },
      {
        limit: 'AMF: values of one message, AMF3 included',
        of: `${amf}#amfLimits.itemsMax`,
        unit: 'count',
        why: "OBS's metadata has 20, Twitch's multitrack configuration some hundred.",
        test: amfLimits,
      },
      {
        limit: 'AMF: one text',
        of: `${amf}#amfLimits.stringBytesMax`,
        unit: 'bytes',
        why: 'A stream key has 1,024 characters at most. A length beyond it is refused before anything is read.',
        test: amfLimits,
      },
      {
        limit: 'FourCCs that a peer announces',
        of: 'src/rtmp/enhanced-capabilities.ts#entriesMax',
        unit: 'count',
        why: 'A dozen exist. The rest is left out.',
        test: ['src/rtmp/enhanced-capabilities.test.ts', 'no more entries are kept than there could be codecs'],
      },
      {
        limit: 'modifiers before a packet (ModEx)',
        of: `${enhanced}#modExCountMax`,
        unit: 'count',
        why: 'One is defined. Of a chain of thousands the message is passed on unread.',
        test: [
          'src/rtmp/media-message.test.ts',
          'nothing throws, and tracks lie inside the message, whatever the bytes',
        ],
      },
      {
        limit: 'tracks of one message that are looked at',
        of: `${enhanced}#tracksMax`,
        unit: 'count',
        why: 'Twitch sends five. All are passed on.',
        test: ['src/rtmp/media-message.test.ts', 'at most 16 tracks of a message are looked at'],
      },
    ],
  },
  {
    title: 'A broadcast',
    rows: [
      {
        limit: 'bitrate at which an encoder is read',
        of: 'setting#MAX_INGEST_KBPS',
        unit: 'kbit/s',
        why: 'Above it, reading is paced: incomplete messages and chunks count as they come.',
        test: [hostile, 'an encoder that sends chunks of one byte, of fifty messages in turn'],
      },
      {
        limit: 'messages of media at which an encoder is read',
        of: `${ingest}#messagesPerSecondMax`,
        unit: '/s',
        why: 'Sixteen tracks of video and sixteen of audio have 1,700. A message of a few bytes costs as much work as a frame.',
        test: ['test/e2e/tiny-messages.test.ts', 'an encoder that floods with tiny messages is paced'],
      },
      {
        limit: 'media that is kept',
        of: 'setting#BUFFER_MS',
        unit: 'ms',
        why: 'For outputs that lag or come back.',
        test: ['src/live/cursor.test.ts', 'a cursor that the tail overtakes finishes its message'],
      },
      {
        limit: 'memory of one broadcast, for each form of it',
        of: 'setting#BUFFER_MB',
        unit: 'bytes',
        why: 'Index and headers count, so that a flood of tiny messages, or one without key frames or with timestamps that stand still, is held within it.',
        test: [
          'src/live/cursor.test.ts',
          'a flood of tiny key frames and headers is held within the memory of the log',
        ],
      },
      {
        limit: 'memory of all broadcasts',
        of: 'setting#BUFFER_TOTAL_MB',
        unit: 'bytes',
        why: 'Index and headers count; the log that takes up most gives way first. Media threads have an equal part each.',
        test: ['src/live/slab-pool.test.ts', 'all logs together keep within their memory'],
      },
      {
        limit: 'a header that is kept for outputs to come',
        of: `${headers}#headerBytesMax`,
        unit: 'bytes',
        why: 'A sequence header has some hundred bytes. What is larger is passed on and not kept.',
        test: ['src/live/media-headers.test.ts', 'what is larger is passed on and not kept'],
      },
      {
        limit: 'headers that are kept',
        of: `${headers}#headerCountMax`,
        unit: 'count',
        why: 'onMetaData, and for 8 video and 8 audio tracks a sequence header and one companion.',
        test: ['src/live/media-headers.test.ts', 'there is room for so many slots'],
      },
      {
        limit: 'headers of an encoder that has not been let in yet',
        of: 'src/live/broadcast.ts#stagedMax',
        unit: 'count',
        why: 'As many as are kept, and some that come twice.',
        test: ['src/live/media-headers.test.ts', 'an encoder that waits has so many headers remembered'],
      },
      {
        limit: 'takeovers by encoders that both live, within the window',
        of: `${input}#takeoversMax`,
        unit: 'count',
        why: 'Two encoders with one key would take over from one another for ever.',
        test: [inputTest, 'a takeover cuts the encoder before, at the first key frame; the third one within a minute'],
      },
    ],
  },
  {
    title: 'Outputs: a destination is a stranger',
    rows: [
      {
        limit: 'url and stream key, characters',
        of: [`${url}#urlLengthMax`, `${url}#streamKeyLengthMax`],
        unit: 'count',
        why: 'The longest of a platform have fewer than 200, and a few hundred.',
        test: ['src/destination/destination-url.test.ts', 'takes a url of the greatest length'],
      },
      {
        limit: 'addresses of a name that are tried',
        of: `${connectFirst}#attemptsMax`,
        unit: 'count',
        why: 'A name server that answers with a thousand must not open a thousand sockets.',
        test: [
          'src/destination/dial.test.ts',
          'opens no more than so many sockets for a name with a thousand addresses',
        ],
      },
      {
        limit: 'addresses of a name that are looked at',
        of: `${lookUp}#addressesMax`,
        unit: 'count',
        why: 'An answer of 64 KiB holds four thousand, and each is checked.',
        test: ['src/destination/network-policy.test.ts', 'has so many of them looked at'],
      },
      {
        limit: 'places for look-ups that names which were slow may have, and that are kept for quick ones: one in',
        of: `${lookUp}#slowOneIn`,
        unit: 'count',
        why: 'There are eight (half of UV_THREADPOOL_SIZE), and a look-up cannot be cancelled: names whose server is silent must not have them all.',
        test: [lookUpTest, 'fifty names under a silent name server leave places for the others'],
      },
      {
        limit: 'a look-up that takes longer is slow',
        of: `${lookUp}#slowMs`,
        unit: 'ms',
        why: 'Name servers answer within some hundred milliseconds. The first one that is quick again ends it.',
        test: [lookUpTest, 'a name that was slow and is quick again'],
      },
      {
        limit: 'hosts of which it is remembered how quick they were',
        of: `${lookUp}#hostsMax`,
        unit: 'count',
        why: 'About 100 KB. The one that was asked longest ago is forgotten first, and is new then.',
        test: [lookUpTest, 'so many hosts are remembered'],
      },
      {
        limit: 'look-up, TCP and TLS together',
        of: `${output}#dialMs`,
        unit: 'ms',
        why: 'The output then says at which step it stood.',
        test: [
          'src/destination/dial.test.ts',
          'gives up at the deadline on a server that takes the connection and says nothing',
        ],
      },
      {
        limit: 'handshake; answer to connect',
        of: `${output}#connectMs`,
        unit: 'ms',
        why: 'A server that takes the connection and stays silent.',
        test: ['test/e2e/output-options.test.ts', 'it takes the connection and stays silent'],
      },
      {
        limit: 'answer to publish',
        of: `${output}#publishMs`,
        unit: 'ms',
        why: 'Platforms ask their own services about the key: some take several seconds.',
        test: ['test/chaos/chaos.test.ts', 'one bad output never hurts another'],
      },
      {
        limit: 'redirects in a row',
        of: `${output}#redirectsMax`,
        unit: 'count',
        why: 'A second one is unusual. Each is looked up, checked and judged like the url of the output.',
        test: ['test/e2e/output-options.test.ts', 'it sends us on, once or in a circle'],
      },
      {
        limit: 'steps of a login',
        of: `${output}#loginsMax`,
        unit: 'count',
        why: 'It takes three connections.',
        test: ['src/rtmp/request-publish.test.ts', 'a login that leads nowhere is publish_denied'],
      },
      {
        limit: 'bytes wait and none is taken',
        of: `${session}#noProgressMs`,
        unit: 'ms',
        why: 'The destination is dead, whatever its socket says; the output is connected again.',
        test: ['test/e2e/stalled-outputs.test.ts', '49 of 50 destinations stop reading: memory stays bounded'],
      },
      {
        limit: 'the same with `LATENCY_MODE=efficient`',
        of: 'src/live/pump.ts#largeTurnBytesMax',
        unit: 'bytes',
        why: 'What has come in 40 ms goes out in one write.',
        test: ['src/live/pump.test.ts', 'a turn takes 64 KiB, and twice as much where nobody cares for delay'],
      },
      {
        limit: 'a destination that used to acknowledge is silent',
        of: `${session}#noAcknowledgementMs`,
        unit: 'ms',
        why: 'The kernel takes megabytes for a peer that is gone.',
        test: ['src/live/delivery.test.ts', 'a peer that used to acknowledge and is silent for 15 s'],
      },
      {
        limit: 'answers to pings that wait for a destination which does not read',
        of: 'src/live/output-sender.ts#controlWaitingMax',
        unit: 'count',
        why: 'They go between two chunks, and a peer that asks for more takes none.',
        test: ['src/live/output-sender.test.ts', 'of the answers to pings of a peer that takes none, a hundred wait'],
      },
      {
        limit: 'a try-out of a destination: each step, and all together',
        of: ['src/live/preflight.ts#stepMs', 'src/live/preflight.ts#totalMs'],
        unit: 'ms',
        why: 'A person waits for it; a destination may send us on, each time to one that is slow.',
        test: ['src/live/preflight.test.ts', 'a try-out ends: each step has 8 s, and all of them together 45'],
      },
      {
        limit: "a destination's words that are shown",
        of: 'src/rtmp/refusal.ts#wordsMax',
        unit: 'count',
        why: 'Characters, without control characters and without our secrets.',
        test: ['src/rtmp/request-publish.test.ts', 'the words of a destination: no key, no password'],
      },
      {
        limit: 'a write, and the turn of one output',
        of: 'src/live/pump.ts#turnBytesMax',
        unit: 'bytes',
        why: 'Under TLS half as much, since what is written is copied: an output that does not read holds so much, and no more.',
        test: ['test/e2e/stalled-outputs.test.ts', '49 of 50 destinations stop reading: memory stays bounded'],
      },
      {
        limit: 'outputs of a live input',
        of: 'setting#MAX_OUTPUTS',
        unit: 'count',
        why: 'An input and its outputs are one document of 512 KiB at most.',
        test: ['test/e2e/sdk.test.ts', 'one more than the limits allow is refused for good'],
      },
      {
        limit: 'live inputs of an account',
        of: 'setting#MAX_LIVE_INPUTS',
        unit: 'count',
        why: 'Counted under a lock, also when many are made at once.',
        test: ['src/api/errors.test.ts', 'the 1,001st input is refused, also when many are made at once'],
      },
    ],
  },
  ...apiLimits,
]
