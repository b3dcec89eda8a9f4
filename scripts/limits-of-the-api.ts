import type { LimitSection } from './limits.ts'

const http = 'src/api/http-limits.ts'
const attempts = 'src/api/session-attempts.ts'
const sessions = 'src/api/sessions.ts'
const links = 'src/api/session-links.ts'
const register = 'src/api/account-register.ts'
const events = 'src/api/events.ts'
const previews = 'src/api/preview-limits.ts'
const alerting = 'src/api/alerting.ts'
const deliveries = 'src/notify/delivery-queue.ts'

const hostileHttp = 'src/api/hostile-http.test.ts'
const serverTest = 'src/api/server.test.ts'
const rateTest = 'src/api/rate-limit.test.ts'
const sessionsTest = 'src/api/sessions.test.ts'
const linksTest = 'src/api/session-links.test.ts'
const registerTest = 'src/api/account-register.test.ts'
const eventsTest = 'src/api/events.test.ts'
const previewTest = 'src/api/preview.test.ts'
const postTest = 'src/notify/post.test.ts'
const queueTest = 'src/notify/delivery-queue.test.ts'

/** Of the table of docs/limits.md: what is asked over HTTP, and what webhooks send. */
export const apiLimits: readonly LimitSection[] = [
  {
    title: 'HTTP: who asks is a stranger',
    rows: [
      {
        limit: 'connections of one listener',
        of: `${http}#connectionsMax`,
        unit: 'count',
        why: 'Far more than people and programs have open; below what a process may open. The next one is closed unheard.',
        test: [hostileHttp, 'beyond so many connections of a listener a new one is closed'],
      },
      {
        limit: 'requests of one connection that are under way',
        of: 'src/api/broken-requests.ts#pipelinedMax',
        unit: 'count',
        why: 'Clients send the next one after an answer. Node reads a thousand at once, and each may open a file that waits behind the others.',
        test: [hostileHttp, 'a connection with more than a few requests under way is cut'],
      },
      {
        limit: 'headers of a request, and the whole of it',
        of: [`${http}#httpDeadlines.headersMs`, `${http}#httpDeadlines.requestMs`],
        unit: 'ms',
        why: 'Headers are one packet; a bad line carries the longest body in seconds. 408, and the connection ends.',
        test: [hostileHttp, 'who is slow with headers or a body is told so and cut'],
      },
      {
        limit: 'an answer that is not taken',
        of: `${http}#httpDeadlines.unreadMs`,
        unit: 'ms',
        why: 'Between one piece and the next. A listener to events gets a sign of life every 15 s.',
        test: [hostileHttp, 'who does not read what was asked for is cut'],
      },
      {
        limit: 'headers',
        of: `${http}#headerBytesMax`,
        unit: 'bytes',
        why: "Tokens and cookies need one; Node's own. 431.",
        test: [serverTest, 'what is no HTTP gets an answer in the envelope'],
      },
      {
        limit: 'body of a request',
        of: 'src/api/server.ts#bodyBytesMax',
        unit: 'bytes',
        why: 'It is not read before it is known who sends it.',
        test: [serverTest, 'an upload that is too large gets its answer, however large it is'],
      },
      {
        limit: 'of an upload that is too large: bytes that are read on',
        of: 'src/api/server.ts#drainBytesMax',
        unit: 'bytes',
        why: 'Or the answer is lost in a reset of the connection.',
        test: [serverTest, 'an upload that is too large gets its answer, however large it is'],
      },
      {
        limit: 'of an upload that is too large: how long it is read on',
        of: 'src/api/server.ts#drainMsMax',
        unit: 'ms',
        why: 'As above.',
        test: [hostileHttp, 'a body has its limit, whatever its length was said to be'],
      },
      {
        limit: 'levels of a JSON body',
        of: 'src/api/json-body.ts#nestingMax',
        unit: 'count',
        why: 'Ours have three.',
        test: [
          'src/api/json-body.test.ts',
          'reads what JSON.parse reads, but for the names and depths that are refused',
        ],
      },
      {
        limit: 'requests of a token, or of an address without one, in five minutes',
        of: 'setting#RATE_LIMIT',
        unit: 'count',
        why: "Cloudflare's own limit.",
        test: [rateTest, 'every answer says how many requests are left'],
      },
      {
        limit: 'requests of a session of the dashboard in five minutes',
        of: 'src/api/rate-limit.ts#sessionRequestsMax',
        unit: 'count',
        why: '40 a second: no person and no page comes near.',
        test: [sessionsTest, 'the dashboard uses up nothing of what its token may ask, and has a limit'],
      },
      {
        limit: 'tokens, and addresses, whose requests are counted',
        of: 'src/api/rate-limit.ts#countedMax',
        unit: 'count',
        why: 'Who was seen longest ago is forgotten.',
        test: [rateTest, 'so many addresses are counted at once; the one that was seen longest ago is forgotten'],
      },
      {
        limit: '/metrics is made anew after',
        of: 'src/api/metrics.ts#textKeptMs',
        unit: 'ms',
        why: 'It needs no token, and takes milliseconds of a thread that may carry media.',
        test: ['src/api/metrics.test.ts', 'the figures are made once a second, however many ask for them'],
      },
      {
        limit: 'the store, for each request',
        of: 'src/api/deadline.ts#storeDeadlineMs',
        unit: 'ms',
        why: 'Then the answer is 503, and what was asked does not happen later.',
        test: ['src/api/projection.test.ts', 'a store that does not answer becomes 503 after ten seconds'],
      },
    ],
  },
  {
    title: 'Signing in',
    rows: [
      {
        limit: 'attempts that may fail before an address waits',
        of: `${attempts}#freeFailures`,
        unit: 'count',
        why: 'Who mistypes a token, or pastes the wrong one, does not wait.',
        test: [sessionsTest, 'after some attempts that failed an address waits longer and longer'],
      },
      {
        limit: 'the longest wait after an attempt that failed',
        of: `${attempts}#delayMsMax`,
        unit: 'ms',
        why: 'A person can wait for so long; a program comes to 1,440 guesses a day.',
        test: [sessionsTest, 'after some attempts that failed an address waits longer and longer'],
      },
      {
        limit: 'addresses whose failures are remembered',
        of: `${attempts}#addressesMax`,
        unit: 'count',
        why: 'Networks (/64) for IPv6; who has failed longest ago is forgotten.',
        test: [sessionsTest, 'the addresses that are remembered are bounded'],
      },
      {
        limit: 'sessions of a token',
        of: `${sessions}#sessionsPerTokenMax`,
        unit: 'count',
        why: 'The one that was used longest ago is signed out.',
        test: [sessionsTest, 'a token has at most 50 sessions'],
      },
      {
        limit: 'sessions in all',
        of: `${sessions}#sessionsMax`,
        unit: 'count',
        why: 'As above.',
        test: [sessionsTest, 'there are a thousand sessions in all'],
      },
      {
        limit: 'a session without a request, and however busy it is',
        of: [`${sessions}#sessionIdleMsMax`, `${sessions}#sessionDurationMsMax`],
        unit: 'ms',
        why: 'Whoever found a cookie does not have it for ever.',
        test: [sessionsTest, 'a session ends with its token, when it was not used for 12 hours, and after 30 days'],
      },
      {
        limit: 'a sign-in link that is not used',
        of: `${links}#linkDurationMsMax`,
        unit: 'ms',
        why: 'As long as it takes to read a terminal and open a browser.',
        test: [sessionsTest, 'a link signs in once, within an hour, as the token that made it'],
      },
      {
        limit: 'sign-in links of a token',
        of: `${links}#linksPerTokenMax`,
        unit: 'count',
        why: 'Its oldest is void. Counted for each: nobody voids the link of somebody else.',
        test: [linksTest, 'a token has five links, and voids none of another'],
      },
      {
        limit: 'sign-in links in all',
        of: `${links}#linksMax`,
        unit: 'count',
        why: 'The oldest is void.',
        test: [linksTest, 'there are a thousand links in all'],
      },
    ],
  },
  {
    title: 'What an account can make grow',
    rows: [
      {
        limit: 'accounts',
        of: `${register}#accountsMax`,
        unit: 'count',
        why: 'All are kept in memory; a program that makes them in a loop ends here.',
        test: [registerTest, 'one token more than an account may have, and one account more than a server'],
      },
      {
        limit: 'tokens of an account, and of all accounts',
        of: `${register}#tokensPerAccountMax`,
        unit: 'count',
        why: 'As above.',
        test: [registerTest, 'one token more than an account may have, and one account more than a server'],
      },
      {
        limit: '`meta` of a live input, as JSON',
        of: 'src/api/schemas.ts#metaBytesMax',
        unit: 'bytes',
        why: 'An input and its outputs are one document of 512 KiB at most.',
        test: ['src/api/errors.test.ts', 'each row of the table of errors'],
      },
      {
        limit: 'programs that listen to the events of an account',
        of: 'src/api/event-routes.ts#listenersMax',
        unit: 'count',
        why: 'Each holds a connection open for as long as it likes.',
        test: [eventsTest, 'an account has a hundred listeners at most'],
      },
      {
        limit: 'live inputs whose figures one listener gets',
        of: 'src/api/event-routes.ts#inputsMax',
        unit: 'count',
        why: 'Told once a second.',
        test: [eventsTest, 'HEAD has no body and no end to wait for, other methods are refused'],
      },
      {
        limit: 'events that a listener leaves unread',
        of: `${events}#unreadBytesMax`,
        unit: 'bytes',
        why: 'It is let go, and resumes when it comes back.',
        test: [eventsTest, 'a listener that does not read is let go'],
      },
      {
        limit: 'events that can be told again: of an account, and in all',
        of: [`${events}#rememberedPerAccountMax`, `${events}#rememberedMax`],
        unit: 'count',
        why: 'Some kilobytes each. Of all, who has most gives way first.',
        test: [eventsTest, 'a busy account takes nothing of what is remembered from a quiet one'],
      },
      {
        limit: 'previews: of a live input, of an account, in all',
        of: [`${previews}#previewsPerInputMax`, `${previews}#previewsPerAccountMax`, `${previews}#previewsMax`],
        unit: 'count',
        why: 'Each takes the whole feed: a control room looks, an audience has players of its own.',
        test: [previewTest, 'a few watch one live input, some more in an account and in all'],
      },
      {
        limit: 'what is on its way to a viewer',
        of: 'src/api/preview.ts#creditBytes',
        unit: 'bytes',
        why: "Half a second of 8 Mbit/s; the rest waits in the broadcast's log.",
        test: [previewTest, 'nothing is read ahead for a viewer who does not read'],
      },
      {
        limit: 'a viewer that takes nothing',
        of: 'src/api/preview.ts#unreadMsMax',
        unit: 'ms',
        why: 'It has gone.',
        test: [previewTest, 'nothing is read ahead for a viewer who does not read, and at last it is let go'],
      },
      {
        limit: 'try-outs of an account at once',
        of: 'src/api/output-actions.ts#testsAtOnceMax',
        unit: 'count',
        why: "Each is a connection to wherever a person says, which a stranger's server may hold for long.",
        test: ['src/api/output-actions.test.ts', 'ten tests of an account run at once; the eleventh is told to wait'],
      },
      {
        limit: 'bitrates that are kept for a graph, of a live input',
        of: 'src/api/bitrate-history.ts#lengthMax',
        unit: 'count',
        why: 'Ten minutes, one a second.',
        test: ['src/api/bitrate-history.test.ts', 'ten minutes are kept and no more'],
      },
    ],
  },
  {
    title: 'Webhooks: a receiver is a stranger',
    rows: [
      {
        limit: 'answer of a receiver',
        of: 'src/notify/post.ts#postDeadlineMs',
        unit: 'ms',
        why: 'Who does not answer in time has failed.',
        test: [postTest, 'who does not answer in time has failed'],
      },
      {
        limit: "bytes of a receiver's answer that are read",
        of: 'src/notify/post.ts#answerBytesMax',
        unit: 'bytes',
        why: 'Only its status matters.',
        test: [postTest, 'an answer without end is not read to its end'],
      },
      {
        limit: 'destinations, and policies, of an account',
        of: [`${alerting}#destinationsMax`, `${alerting}#policiesMax`],
        unit: 'count',
        why: 'More than a person can keep an eye on; a loop ends here.',
        test: ['src/api/webhooks.test.ts', 'not one more than the limits allow, however many ask at once'],
      },
      {
        limit: 'deliveries under way at once: of the server, of an account, to a destination',
        of: [`${deliveries}#atOnceMax`, `${deliveries}#atOnceOfAccountMax`, `${deliveries}#atOnceOfDestinationMax`],
        unit: 'count',
        why: 'A receiver that hangs takes each for ten seconds, and must not take those of other receivers and accounts.',
        test: [queueTest, 'an account whose receivers all hang has a quarter of what may be under way'],
      },
      {
        limit: 'deliveries of an account that wait',
        of: `${deliveries}#pendingMax`,
        unit: 'count',
        why: 'Some kilobytes each. The oldest give way, and can be sent again.',
        test: [queueTest, 'more than may wait: the oldest give way, and can be sent again'],
      },
      {
        limit: 'deliveries of an account that are kept',
        of: `${deliveries}#deliveriesMax`,
        unit: 'count',
        why: 'The oldest that are over are let go.',
        test: [queueTest, 'of what is over the oldest are let go when there are too many'],
      },
      {
        limit: 'how long a delivery is tried',
        of: `${deliveries}#givenUpMs`,
        unit: 'ms',
        why: '5 s between the first attempts, an hour between the last.',
        test: [queueTest, 'what fails is tried again after 5 s, 10 s'],
      },
      {
        limit: 'how long a delivery that is over is kept',
        of: `${deliveries}#keptMs`,
        unit: 'ms',
        why: 'To be looked at, and sent again.',
        test: [queueTest, 'of what is over the oldest are let go when there are too many, and all after three days'],
      },
    ],
  },
]
