/*
 * The encoders of a bench: publishers KBPS FPS [video]. Each sends the synthetic source (test/support/synthetic-source.ts) at its pace, begun
 * at different times so that their key frames do not fall together; with `video` it has no sound. Lines on stdin, answers on stdout:
 *
 *   target PORT APP KEY    one more encoder                        (no answer)
 *   start                  connect those that are new              {"publishing":n} when all publish
 *   measure                forget what was counted                 {}
 *   report                 lateness, bytes nobody took, own CPU    {…}
 */
#include "rtmp.h"
#include <math.h>
#include <sys/timerfd.h>

enum { audio_kbps = 128, audio_samples = 1024, audio_rate = 48000, group_seconds = 2, key_ratio = 6 };
enum { filler_bytes = 1 << 20, dialogues_max = 32, refusals_max = 20 };

/* High profile 1080p60 and AAC-LC 48 kHz, as in the source in TypeScript. */
static const uint8_t video_header[] = {
    0x17, 0,    0,    0,    0,    1,    0x64, 0,    0x2a, 0xff, 0xe1, 0,    0x1b, 0x67, 0x64, 0,    0x2a, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27,
    0xe5, 0xc0, 0x44, 0,    0,    0x03, 0,    0x04, 0,    0,    0x03, 0x01, 0xe0, 0x3c, 0x60, 0xc6, 0x58, 1,    0,    6,    0x68, 0xeb, 0xe3,
    0xcb, 0x22, 0xc0};
static const uint8_t audio_header[] = {0xaf, 0, 0x11, 0x90};

struct encoder {
  struct client client;
  char app[64], key[128];
  int port, refusals;
  uint16_t session;
  bool told, gone;
  double started; /* monotonic seconds at timestamp 0 */
  uint32_t frames, sounds;
  uint32_t sent_at[2];
  bool opened[2];
  /* What the kernel has not taken yet. */
  uint8_t *waiting;
  size_t waiting_bytes, waiting_room;
};

static int epoll_fd, timer_fd, kbps, fps, publishing, gone;
static struct encoder **encoders;
static bool has_audio = true;
static int encoder_count, connected_count, wanted_count;
/* A heap of those that send, by the time of their next message. */
static struct encoder **heap;
static int heap_count;
static uint64_t sent_messages, sent_bytes;
static size_t waiting_max;
static double cpu_since;
static struct histogram lateness;
static uint8_t filler[filler_bytes], wire[1 << 23];

static double video_time(const struct encoder *encoder) { return (double)encoder->frames / fps; }
static double audio_time(const struct encoder *encoder) {
  return has_audio ? (double)encoder->sounds * audio_samples / audio_rate : INFINITY;
}
static double due(const struct encoder *encoder) {
  double video = video_time(encoder), audio = audio_time(encoder);
  return encoder->started + (video <= audio ? video : audio);
}

static void sift(int at) {
  for (;;) {
    int least = at;
    for (int child = 2 * at + 1; child <= 2 * at + 2 && child < heap_count; child++)
      if (due(heap[child]) < due(heap[least])) least = child;
    if (least == at) return;
    struct encoder *moved = heap[at];
    heap[at] = heap[least];
    heap[least] = moved;
    at = least;
  }
}
static void join_heap(struct encoder *encoder) {
  int at = heap_count++;
  heap[at] = encoder;
  while (at > 0 && due(heap[at]) < due(heap[(at - 1) / 2])) {
    struct encoder *moved = heap[at];
    heap[at] = heap[(at - 1) / 2];
    heap[(at - 1) / 2] = moved;
    at = (at - 1) / 2;
  }
}

static void connect_encoder(struct encoder *encoder) {
  reader_free(&encoder->client.reader);
  memset(&encoder->client, 0, sizeof encoder->client);
  client_open(&encoder->client, encoder->port, encoder->app, encoder->key);
  watch(epoll_fd, encoder->client.fd, EPOLLIN, encoder);
}

/* Cut off before it was accepted, an encoder comes back, as real ones do; later, it is gone, and the report says so. */
static void leave(struct encoder *encoder) {
  if (encoder->gone) return;
  close(encoder->client.fd);
  if (!encoder->told) {
    errno = 0;
    if (++encoder->refusals > refusals_max) die("an encoder is cut off again and again before it may publish");
    connect_encoder(encoder);
    return;
  }
  encoder->gone = true;
  gone++;
}

static void put_out(struct encoder *encoder, const uint8_t *bytes, size_t count) {
  ssize_t taken = 0;
  if (encoder->waiting_bytes == 0) {
    taken = send(encoder->client.fd, bytes, count, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN) {
      leave(encoder);
      return;
    }
    if (taken < 0) taken = 0;
  }
  sent_bytes += count;
  size_t rest = count - (size_t)taken, wanted = encoder->waiting_bytes + rest;
  if (rest == 0) return;
  if (wanted > encoder->waiting_room) {
    encoder->waiting_room = wanted * 2;
    encoder->waiting = realloc(encoder->waiting, encoder->waiting_room);
    if (encoder->waiting == NULL) die("no memory");
  }
  memcpy(encoder->waiting + encoder->waiting_bytes, bytes + taken, rest);
  encoder->waiting_bytes = wanted;
  if (wanted > waiting_max) waiting_max = wanted;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = encoder};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, encoder->client.fd, &event);
}

static void put_out_waiting(struct encoder *encoder) {
  ssize_t taken = send(encoder->client.fd, encoder->waiting, encoder->waiting_bytes, MSG_NOSIGNAL);
  if (taken <= 0) return;
  encoder->waiting_bytes -= (size_t)taken;
  memmove(encoder->waiting, encoder->waiting + taken, encoder->waiting_bytes);
  if (encoder->waiting_bytes > 0) return;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = encoder};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, encoder->client.fd, &event);
}

/* Frames a message into `wire`: `start` are its first bytes, filler the rest. @returns its bytes on the wire. */
static size_t frame(struct encoder *encoder, uint8_t type, uint32_t timestamp, const uint8_t *start, size_t start_bytes, size_t length,
                    uint32_t number) {
  int track = type == type_video ? 0 : 1, chunk_stream = type == type_video ? 6 : 4;
  bool opened = encoder->opened[track];
  uint8_t *at = wire;
  *at++ = (uint8_t)((opened ? 0x40 : 0) | chunk_stream);
  put_be(at, opened ? timestamp - encoder->sent_at[track] : timestamp, 3);
  put_be(at + 3, (uint32_t)length, 3);
  at[6] = type;
  at += 7;
  if (!opened) {
    memcpy(at, "\1\0\0\0", 4);
    at += 4;
  }
  encoder->opened[track] = true;
  encoder->sent_at[track] = timestamp;
  const uint8_t *source = filler + (uint64_t)number * 4099 % (filler_bytes / 2);
  for (size_t from = 0; from < length;) {
    size_t count = length - from < chunk_bytes ? length - from : chunk_bytes;
    if (from > 0) *at++ = (uint8_t)(0xc0 | chunk_stream);
    memcpy(at, source + from % (filler_bytes / 4), count);
    if (from == 0) memcpy(at, start, start_bytes);
    at += count;
    from += count;
  }
  return (size_t)(at - wire);
}

static size_t put_stamp(uint8_t *body, size_t at, int track, bool key, const struct encoder *encoder, uint32_t number, size_t length) {
  put_be(body + at, stamp_magic, 4);
  body[at + 4] = (uint8_t)track;
  body[at + 5] = key;
  put_be(body + at + 6, encoder->session, 2);
  put_be(body + at + 8, number, 4);
  put_double(body + at + 12, wall_ms());
  put_be(body + at + 20, (uint32_t)length, 4);
  return at + stamp_bytes;
}

static void send_video(struct encoder *encoder) {
  double mean = (kbps - (has_audio ? audio_kbps : 0)) * 125.0 / fps;
  int group = group_seconds * fps;
  bool key = encoder->frames % (uint32_t)group == 0;
  double plain = mean * group / (group - 1 + key_ratio);
  size_t length = (size_t)(key ? plain * key_ratio : plain);
  if (length < video_stamp_at + stamp_bytes) length = video_stamp_at + stamp_bytes;
  uint8_t start[64] = {key ? 0x17 : 0x27, 1};
  put_be(start + 5, (uint32_t)length - 9, 4);
  start[9] = key ? 0x65 : 0x41;
  size_t start_bytes = put_stamp(start, video_stamp_at, 0, key, encoder, encoder->frames, length);
  uint32_t timestamp = (uint32_t)(video_time(encoder) * 1e3 + 0.5);
  put_out(encoder, wire, frame(encoder, type_video, timestamp, start, start_bytes, length, encoder->frames));
  encoder->frames++;
}

static void send_audio(struct encoder *encoder) {
  size_t length = audio_kbps * 125 * audio_samples / audio_rate;
  uint8_t start[64] = {0xaf, 1};
  size_t start_bytes = put_stamp(start, audio_stamp_at, 1, false, encoder, encoder->sounds, length);
  uint32_t timestamp = (uint32_t)(audio_time(encoder) * 1e3 + 0.5);
  put_out(encoder, wire, frame(encoder, type_audio, timestamp, start, start_bytes, length, encoder->sounds));
  encoder->sounds++;
}

static void begin_media(struct encoder *encoder) {
  struct words metadata = {.length = 0};
  put_text(&metadata, "@setDataFrame", false);
  put_text(&metadata, "onMetaData", false);
  put_fields(&metadata, (const char *const[]){"encoder", "synthetic", NULL});
  send_message(encoder->client.fd, 5, type_data, 1, metadata.bytes, metadata.length);
  if (has_audio) put_out(encoder, wire, frame(encoder, type_audio, 0, audio_header, sizeof audio_header, sizeof audio_header, 0));
  put_out(encoder, wire, frame(encoder, type_video, 0, video_header, sizeof video_header, sizeof video_header, 0));
  encoder->told = true;
  encoder->started = seconds_of(CLOCK_MONOTONIC) + (double)(encoder->session * 7919 % 2000) / 1e3;
  publishing++;
  join_heap(encoder);
}

static void connect_next(void) {
  while (connected_count < encoder_count && connected_count - publishing < dialogues_max)
    connect_encoder(encoders[connected_count++]);
}

static void serve(struct encoder *encoder, uint32_t events) {
  static uint8_t bytes[1 << 16];
  if (encoder->gone) return;
  if (events & EPOLLOUT) put_out_waiting(encoder);
  if (!(events & ~(uint32_t)EPOLLOUT)) return;
  ssize_t count = recv(encoder->client.fd, bytes, sizeof bytes, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) {
    leave(encoder);
    return;
  }
  client_receive(&encoder->client, bytes, (int)count);
  if (!encoder->client.published || encoder->told) return;
  begin_media(encoder);
  connect_next();
  if (publishing == wanted_count) printf("{\"publishing\":%d}\n", publishing), fflush(stdout);
}

/* @returns whether more is due: answers and questions are not left waiting by encoders that are late. */
static bool send_due(void) {
  for (int sent = 0; heap_count > 0; sent++) {
    if (sent == 256) return true;
    double now = seconds_of(CLOCK_MONOTONIC), next = due(heap[0]);
    if (next > now) {
      struct itimerspec at = {.it_value = {(time_t)next, (long)((next - (double)(time_t)next) * 1e9) + 1}};
      timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
      return false;
    }
    struct encoder *encoder = heap[0];
    if (encoder->gone) {
      heap[0] = heap[--heap_count];
    } else {
      observe(&lateness, (now - next) * 1e3);
      sent_messages++;
      if (video_time(encoder) <= audio_time(encoder)) send_video(encoder);
      else send_audio(encoder);
    }
    sift(0);
  }
  return false;
}

static void add_target(const char *line) {
  struct encoder *encoder = allocate(sizeof *encoder);
  if (sscanf(line, "target %d %63s %127s", &encoder->port, encoder->app, encoder->key) != 3) die("not a target");
  encoder->session = (uint16_t)encoder_count;
  encoders = realloc(encoders, sizeof *encoders * (size_t)(encoder_count + 1));
  heap = realloc(heap, sizeof *heap * (size_t)(encoder_count + 1));
  if (encoders == NULL || heap == NULL) die("no memory");
  encoders[encoder_count++] = encoder;
}

static void report(void) {
  size_t waiting = 0;
  for (int i = 0; i < encoder_count; i++) waiting += encoders[i]->waiting_bytes;
  printf("{\"publishing\":%d,\"gone\":%d,\"messages\":%llu,\"bytes\":%llu,\"waitingBytes\":%zu,\"waitingBytesMax\":%zu,\"cpuSeconds\":%.3f,",
         publishing - gone, gone, (unsigned long long)sent_messages, (unsigned long long)sent_bytes, waiting, waiting_max,
         cpu_seconds() - cpu_since);
  print_histogram("latenessMs", &lateness);
  printf("}\n");
}

static void obey(void) {
  static char text[1 << 16];
  static size_t length;
  ssize_t count = read(0, text + length, sizeof text - 1 - length);
  if (count <= 0) exit(0);
  length += (size_t)count;
  text[length] = '\0';
  char *line = text;
  for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
    *end = '\0';
    if (strncmp(line, "target ", 7) == 0) {
      add_target(line);
    } else if (strcmp(line, "start") == 0) {
      wanted_count = encoder_count;
      connect_next();
    } else if (strcmp(line, "measure") == 0) {
      memset(&lateness, 0, sizeof lateness);
      sent_messages = sent_bytes = 0;
      waiting_max = 0;
      cpu_since = cpu_seconds();
      printf("{}\n");
    } else {
      report();
    }
  }
  length -= (size_t)(line - text);
  memmove(text, line, length + 1);
  fflush(stdout);
}

int main(int count, char **arguments) {
  static char control, timer;
  if (count < 3) die("publishers KBPS FPS [video]");
  kbps = atoi(arguments[1]);
  fps = atoi(arguments[2]);
  has_audio = count == 3;
  for (uint32_t i = 0, state = 1; i < filler_bytes; i++) filler[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
  allow_many_files();
  epoll_fd = epoll_create1(0);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  watch(epoll_fd, 0, EPOLLIN, &control);
  watch(epoll_fd, timer_fd, EPOLLIN, &timer);
  for (bool more = false;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll_fd, events, 256, more ? 0 : -1);
    for (int i = 0; i < ready; i++) {
      uint64_t expired;
      if (events[i].data.ptr == &control) obey();
      else if (events[i].data.ptr == &timer) (void)!read(timer_fd, &expired, sizeof expired);
      else serve(events[i].data.ptr, events[i].events);
    }
    more = send_due();
  }
}
