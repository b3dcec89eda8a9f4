/*
 * As much RTMP as the load programs of the bench need: chunks to messages, a publisher's dialogue, and the words of both sides.
 * In C because the encoders and destinations of a bench share the machine with the server that is measured: they must cost little.
 * Loopback only. What a peer does wrong ends the program with a sentence: a bench whose load is broken has no result.
 */
#ifndef RTMP_H
#define RTMP_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { handshake_bytes = 1536, chunk_bytes = 4096, window_bytes = 2500000 };
/* nginx-rtmp takes no more chunk streams than 32; the longest command, connect, has some 300 bytes. */
enum { stream_count = 32, prefix_bytes = 768 };
enum { type_chunk_size = 1, type_ack = 3, type_control = 4, type_window = 5, type_bandwidth = 6 };
enum { type_audio = 8, type_video = 9, type_data = 18, type_command = 20 };

/* Where the stamp of the synthetic source begins in a body (test/support/synthetic-source.ts). */
enum { video_stamp_at = 10, audio_stamp_at = 2, stamp_bytes = 24, stamp_magic = 0x53544d50 };

static void die(const char *what) {
  fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static void *allocate(size_t bytes) {
  void *memory = calloc(1, bytes);
  if (memory == NULL) die("no memory");
  return memory;
}

/* Seconds: of the wall, which the stamps carry, and of a clock that never jumps, for the pace. */
static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
static double wall_ms(void) { return seconds_of(CLOCK_REALTIME) * 1e3; }
static double cpu_seconds(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

static uint32_t be(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  while (bytes-- > 0) value = value << 8 | *at++;
  return value;
}
static void put_be(uint8_t *at, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}
static double be_double(const uint8_t *at) {
  uint64_t bits = (uint64_t)be(at, 4) << 32 | be(at + 4, 4);
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static void put_double(uint8_t *at, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_be(at, (uint32_t)(bits >> 32), 4);
  put_be(at + 4, (uint32_t)bits, 4);
}

/*
 * A delay or lateness in steps of 0.05 ms up to 10 s; more is counted as that. Less than nothing, which clocks of two programs can seem to
 * show, is nothing. A quantile is the end of its step, but never more than the longest that was seen.
 */
enum { histogram_buckets = 200000 };
struct histogram {
  uint32_t counts[histogram_buckets];
  uint64_t total;
  double max;
};
static void observe(struct histogram *h, double ms) {
  if (ms < 0) ms = 0;
  int bucket = ms >= 10000 ? histogram_buckets - 1 : (int)(ms * 20);
  h->counts[bucket]++;
  h->total++;
  if (ms > h->max) h->max = ms;
}
static double quantile(const struct histogram *h, double part) {
  uint64_t wanted = (uint64_t)(part * (double)h->total), seen = 0;
  for (int i = 0; i < histogram_buckets; i++)
    if ((seen += h->counts[i]) > wanted) {
      double end = (i + 1) / 20.0;
      return end < h->max ? end : h->max;
    }
  return h->max;
}
static void print_histogram(const char *name, const struct histogram *h) {
  printf("\"%s\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name, quantile(h, 0.5), quantile(h, 0.99), h->max);
}

/* Chunks to messages. Of each body only the first bytes are kept. */
struct message {
  uint8_t type;
  uint32_t length;
  const uint8_t *body;
};
struct stream {
  uint32_t length, received;
  uint8_t type;
  bool extended;
  uint8_t prefix[prefix_bytes];
};
struct reader {
  uint32_t chunk, left;
  uint8_t header[16];
  int header_length;
  struct stream *current, *streams[stream_count];
};
typedef void (*on_message)(void *owner, const struct message *message);

static void reader_free(struct reader *reader) {
  for (int i = 0; i < stream_count; i++) free(reader->streams[i]);
}

static void finish(struct reader *reader, struct stream *stream, on_message tell, void *owner) {
  struct message message = {stream->type, stream->length, stream->prefix};
  stream->received = 0;
  if (stream->type == type_chunk_size) reader->chunk = be(stream->prefix, 4);
  tell(owner, &message);
}

/* Takes one byte of a header. @returns whether that was the last one. */
static bool take_header_byte(struct reader *reader, uint8_t byte) {
  static const int fields[] = {11, 7, 3, 0};
  uint8_t *header = reader->header;
  header[reader->header_length++] = byte;
  int format = header[0] >> 6, id = header[0] & 63;
  if (id < 2 || id >= stream_count) die("a chunk stream id that no peer of a bench uses");
  if (reader->header_length < 1 + fields[format]) return false;
  if (reader->streams[id] == NULL) reader->streams[id] = allocate(sizeof(struct stream));
  struct stream *stream = reader->streams[id];
  if (format < 3) stream->extended = be(header + 1, 3) == 0xffffff;
  if (reader->header_length < 1 + fields[format] + (stream->extended ? 4 : 0)) return false;
  if (format < 2) {
    stream->length = be(header + 4, 3);
    stream->type = header[7];
  }
  if (format < 3) stream->received = 0;
  reader->current = stream;
  reader->header_length = 0;
  uint32_t rest = stream->length - stream->received;
  reader->left = rest < reader->chunk ? rest : reader->chunk;
  return true;
}

static void read_chunks(struct reader *reader, const uint8_t *bytes, size_t count, on_message tell, void *owner) {
  const uint8_t *end = bytes + count;
  if (reader->chunk == 0) reader->chunk = 128;
  while (bytes < end) {
    if (reader->left == 0) {
      if (take_header_byte(reader, *bytes++) && reader->left == 0) finish(reader, reader->current, tell, owner);
      continue;
    }
    struct stream *stream = reader->current;
    uint32_t taken = (uint32_t)(end - bytes) < reader->left ? (uint32_t)(end - bytes) : reader->left;
    if (stream->received < prefix_bytes) {
      uint32_t room = prefix_bytes - stream->received;
      memcpy(stream->prefix + stream->received, bytes, taken < room ? taken : room);
    }
    stream->received += taken;
    reader->left -= taken;
    bytes += taken;
    if (stream->received == stream->length) finish(reader, stream, tell, owner);
  }
}

/* Messages of the dialogue: small, so that a socket that has just been opened takes them at once. */
struct words {
  uint8_t bytes[1024];
  int length;
};
static void send_all(int fd, const void *bytes, size_t count) {
  if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) die("a peer did not take a word of the dialogue");
}
static void send_message(int fd, int chunk_stream, uint8_t type, uint32_t message_stream, const uint8_t *body, int length) {
  uint8_t bytes[12 + 1024] = {(uint8_t)chunk_stream};
  put_be(bytes + 4, (uint32_t)length, 3);
  bytes[7] = type;
  bytes[8] = (uint8_t)message_stream;
  memcpy(bytes + 12, body, (size_t)length);
  send_all(fd, bytes, 12 + (size_t)length);
}
static void send_number(int fd, uint8_t type, uint32_t value) {
  uint8_t body[5];
  put_be(body, value, 4);
  body[4] = 2; /* dynamic, where it is a peer bandwidth */
  send_message(fd, 2, type, 0, body, type == type_bandwidth ? 5 : 4);
}
static void answer_ping(int fd, const struct message *message) {
  uint8_t body[6] = {0, 7};
  if (message->type != type_control || be(message->body, 2) != 6) return;
  memcpy(body + 2, message->body + 2, 4);
  send_message(fd, 2, type_control, 0, body, 6);
}
static void put_text(struct words *to, const char *text, bool is_key) {
  int length = (int)strlen(text);
  if (!is_key) to->bytes[to->length++] = 2;
  put_be(to->bytes + to->length, (uint32_t)length, 2);
  memcpy(to->bytes + to->length + 2, text, (size_t)length);
  to->length += 2 + length;
}
static void put_number(struct words *to, double value) {
  to->bytes[to->length++] = 0;
  put_double(to->bytes + to->length, value);
  to->length += 8;
}
static void put_null(struct words *to) { to->bytes[to->length++] = 5; }
static void put_fields(struct words *to, const char *const pairs[]) {
  to->bytes[to->length++] = 3;
  for (int i = 0; pairs[i] != NULL; i += 2) {
    put_text(to, pairs[i], true);
    put_text(to, pairs[i + 1], false);
  }
  put_be(to->bytes + to->length, 9, 3);
  to->length += 3;
}
static struct words command(const char *name, double transaction) {
  struct words words = {.length = 0};
  put_text(&words, name, false);
  put_number(&words, transaction);
  return words;
}
static void say(int fd, const struct words *words, uint32_t message_stream) {
  send_message(fd, 3, type_command, message_stream, words->bytes, words->length);
}
static bool is_command(const struct message *message, const char *name) {
  size_t length = strlen(name);
  return message->type == type_command && message->length >= 12 + length && be(message->body + 1, 2) == length &&
         memcmp(message->body + 3, name, length) == 0;
}
static double transaction_of(const struct message *message) { return be_double(message->body + 4 + be(message->body + 1, 2)); }

/* A publisher's dialogue, as OBS has it. `published` when NetStream.Publish.Start has come. */
struct client {
  int fd;
  bool published, shaken;
  char app[64], key[128], url[128];
  uint8_t handshake[1 + 2 * handshake_bytes];
  int shaken_bytes;
  struct reader reader;
};

static void client_open(struct client *client, int port, const char *app, const char *key) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  snprintf(client->app, sizeof client->app, "%s", app);
  snprintf(client->key, sizeof client->key, "%s", key);
  snprintf(client->url, sizeof client->url, "rtmp://127.0.0.1:%d/%s", port, app);
  client->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0) die("cannot connect");
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  fcntl(client->fd, F_SETFL, O_NONBLOCK);
  uint8_t first[1 + handshake_bytes] = {3};
  send_all(client->fd, first, sizeof first);
}

static void client_hear(void *owner, const struct message *message) {
  struct client *client = owner;
  answer_ping(client->fd, message);
  if (is_command(message, "_error")) die("a publish was refused");
  if (is_command(message, "_result") && transaction_of(message) == 1) {
    struct words release = command("releaseStream", 2), announce = command("FCPublish", 3), create = command("createStream", 4);
    put_null(&release), put_null(&announce), put_null(&create);
    put_text(&release, client->key, false), put_text(&announce, client->key, false);
    say(client->fd, &release, 0), say(client->fd, &announce, 0), say(client->fd, &create, 0);
  } else if (is_command(message, "_result") && transaction_of(message) == 4) {
    struct words publish = command("publish", 5);
    put_null(&publish);
    put_text(&publish, client->key, false);
    put_text(&publish, "live", false);
    say(client->fd, &publish, 1);
  } else if (is_command(message, "onStatus") && !client->published) {
    if (memmem(message->body, prefix_bytes, "NetStream.Publish.Start", 23) == NULL) die("a publish was refused");
    client->published = true;
  }
}

/* What the server sent. */
static void client_receive(struct client *client, const uint8_t *bytes, int count) {
  if (!client->shaken) {
    int wanted = (int)sizeof client->handshake - client->shaken_bytes, taken = count < wanted ? count : wanted;
    memcpy(client->handshake + client->shaken_bytes, bytes, (size_t)taken);
    client->shaken_bytes += taken;
    if (taken < wanted) return;
    client->shaken = true;
    send_all(client->fd, client->handshake + 1, handshake_bytes);
    send_number(client->fd, type_chunk_size, chunk_bytes);
    struct words words = command("connect", 1);
    put_fields(&words, (const char *const[]){"app", client->app, "type", "nonprivate", "flashVer", "FMLE/3.0 (compatible; FMSc/1.0)",
                                             "swfUrl", client->url, "tcUrl", client->url, NULL});
    say(client->fd, &words, 0);
    bytes += taken;
    count -= taken;
  }
  read_chunks(&client->reader, bytes, (size_t)count, client_hear, client);
}

/* A server's side of a publisher's dialogue. */
struct guest {
  int fd;
  int shaken_bytes;
  bool shaken;
  uint8_t handshake[1 + handshake_bytes];
};

static void guest_start(struct guest *guest) {
  struct words status = command("onStatus", 0);
  put_null(&status);
  put_fields(&status, (const char *const[]){"level", "status", "code", "NetStream.Publish.Start", "description", "", NULL});
  say(guest->fd, &status, 1);
}

/* @returns how many of the bytes belonged to the handshake. */
static int guest_shake(struct guest *guest, const uint8_t *bytes, int count) {
  const int all = 1 + 2 * handshake_bytes, first = 1 + handshake_bytes;
  int before = guest->shaken_bytes, taken = count < all - before ? count : all - before;
  for (int i = 0; i < taken && before + i < first; i++) guest->handshake[before + i] = bytes[i];
  guest->shaken_bytes += taken;
  if (before < first && guest->shaken_bytes >= first) {
    uint8_t answer[1 + 2 * handshake_bytes] = {3};
    memcpy(answer + first, guest->handshake + 1, handshake_bytes);
    send_all(guest->fd, answer, sizeof answer);
  }
  guest->shaken = guest->shaken_bytes == all;
  return taken;
}

/* @returns whether the guest has said publish: `guest_start` is the answer. */
static bool guest_hear(struct guest *guest, const struct message *message) {
  answer_ping(guest->fd, message);
  if (message->type != type_command) return false;
  if (is_command(message, "publish")) return true;
  struct words result = command("_result", transaction_of(message));
  if (is_command(message, "connect")) {
    send_number(guest->fd, type_window, window_bytes);
    send_number(guest->fd, type_bandwidth, window_bytes);
    send_number(guest->fd, type_chunk_size, chunk_bytes);
    put_fields(&result, (const char *const[]){"fmsVer", "FMS/3,0,1,123", NULL});
    put_fields(&result, (const char *const[]){"level", "status", "code", "NetConnection.Connect.Success", "description", "", NULL});
  } else if (is_command(message, "createStream")) {
    put_null(&result);
    put_number(&result, 1);
  } else if (is_command(message, "releaseStream") || is_command(message, "FCPublish")) {
    put_null(&result);
    result.bytes[result.length++] = 6; /* undefined */
  } else {
    return false;
  }
  say(guest->fd, &result, 0);
  return false;
}

/* A listener on a free port of the loopback interface. */
static int listen_anywhere(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0) die("cannot listen");
  getsockname(fd, (struct sockaddr *)&address, &length);
  *port = ntohs(address.sin_port);
  return fd;
}

static void watch(int epoll, int fd, uint32_t events, void *data) {
  struct epoll_event event = {.events = events, .data.ptr = data};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("cannot watch a socket");
}

static void allow_many_files(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
