/*
 * The destinations of a bench: sinks PORTS. Takes every publish on as many free ports, reads all, keeps nothing; checks that the
 * numbers in the stamps follow one another, and takes the delay. The same questions on stdin and answers on stdout, one a line, as
 * bench/sinks.ts, which does it in Node.
 */
#include "rtmp.h"

enum { kind_listener, kind_sink, kind_control };
struct listener {
  int kind, fd;
  /* Hangs: nothing more is read from any connection, new ones included. */
  bool stalled;
};
struct sink {
  int kind;
  struct listener *listener;
  struct guest guest;
  struct reader reader;
  bool publishing, stalled, is_one;
  uint64_t bytes, acknowledged;
  /* The newest number of each track, -1 before the first. */
  int64_t newest[2];
  uint16_t session[2];
  struct sink *next;
};

static struct sink *sinks;
static int epoll_fd, publishing, connections;
static uint64_t all_bytes, messages, gaps, missing;
static double cpu_since;
static struct histogram every_delay, one_delay;

static void take_stamp(struct sink *sink, const struct message *message) {
  const uint8_t *stamp = message->body + (message->type == type_video ? video_stamp_at : audio_stamp_at);
  if (message->length < video_stamp_at + stamp_bytes || be(stamp, 4) != stamp_magic) return;
  int track = stamp[4] & 1;
  uint16_t session = (uint16_t)be(stamp + 6, 2);
  int64_t number = be(stamp + 8, 4);
  double delay = wall_ms() - be_double(stamp + 12);
  messages++;
  if (sink->newest[track] >= 0 && sink->session[track] == session && number != sink->newest[track] + 1) {
    gaps++;
    if (number > sink->newest[track]) missing += (uint64_t)(number - sink->newest[track] - 1);
  }
  sink->newest[track] = number;
  sink->session[track] = session;
  if (sink->stalled) return;
  observe(&every_delay, delay);
  if (sink->is_one) observe(&one_delay, delay);
}

static void hear(void *owner, const struct message *message) {
  struct sink *sink = owner;
  if (message->type == type_video || message->type == type_audio) {
    take_stamp(sink, message);
  } else if (guest_hear(&sink->guest, message)) {
    guest_start(&sink->guest);
    sink->publishing = true;
    publishing++;
  }
}

static void welcome(struct listener *listener) {
  for (;;) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct sink *sink = allocate(sizeof *sink);
    sink->kind = kind_sink;
    sink->listener = listener;
    sink->guest.fd = fd;
    sink->newest[0] = sink->newest[1] = -1;
    sink->next = sinks;
    sinks = sink;
    connections++;
    sink->stalled = listener->stalled;
    if (!sink->stalled) watch(epoll_fd, fd, EPOLLIN, sink);
  }
}

static void leave(struct sink *sink) {
  close(sink->guest.fd);
  if (sink->publishing) publishing--;
  sink->publishing = false;
  sink->guest.fd = -1;
  reader_free(&sink->reader);
  memset(&sink->reader, 0, sizeof sink->reader);
}

static void receive(struct sink *sink) {
  static uint8_t bytes[1 << 18];
  if (sink->guest.fd < 0) return;
  ssize_t count = recv(sink->guest.fd, bytes, sizeof bytes, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) {
    leave(sink);
    return;
  }
  int used = 0;
  if (!sink->guest.shaken) used = guest_shake(&sink->guest, bytes, (int)count);
  sink->bytes += (uint64_t)count;
  all_bytes += (uint64_t)count;
  read_chunks(&sink->reader, bytes + used, (size_t)(count - used), hear, sink);
  if (sink->bytes - sink->acknowledged < window_bytes) return;
  sink->acknowledged = sink->bytes;
  /* A peer that is about to close may not take it any more; that is no fault of the bench. */
  uint8_t acknowledgement[16] = {2, 0, 0, 0, 0, 0, 4, type_ack};
  put_be(acknowledgement + 12, (uint32_t)sink->bytes, 4);
  (void)!send(sink->guest.fd, acknowledgement, sizeof acknowledgement, MSG_NOSIGNAL);
}

/* The newest connections are first in the list: the last outputs of the last input. */
static void stall(int count) {
  for (struct sink *sink = sinks; sink != NULL && count > 0; sink = sink->next) {
    if (!sink->publishing || sink->stalled) continue;
    sink->stalled = sink->listener->stalled = true;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, sink->guest.fd, NULL);
    count--;
  }
}

static void begin_measuring(void) {
  struct sink *one = NULL;
  /* The sink that the delay is read at is the one that was there first: it has no special place in anybody's order. */
  for (struct sink *sink = sinks; sink != NULL; sink = sink->next) {
    sink->is_one = false;
    if (sink->publishing && !sink->stalled) one = sink;
  }
  if (one != NULL) one->is_one = true;
  memset(&every_delay, 0, sizeof every_delay);
  memset(&one_delay, 0, sizeof one_delay);
  all_bytes = messages = gaps = missing = 0;
  cpu_since = cpu_seconds();
}

static void report(void) {
  printf("{\"bytes\":%llu,\"messages\":%llu,\"gaps\":%llu,\"missing\":%llu,\"connections\":%d,\"publishing\":%d,\"cpuSeconds\":%.3f,",
         (unsigned long long)all_bytes, (unsigned long long)messages, (unsigned long long)gaps, (unsigned long long)missing,
         connections, publishing, cpu_seconds() - cpu_since);
  print_histogram("delayMs", &every_delay);
  printf(",");
  print_histogram("oneDelayMs", &one_delay);
  printf("}\n");
}

static void obey(void) {
  static char text[256];
  static size_t length;
  ssize_t count = read(0, text + length, sizeof text - 1 - length);
  if (count <= 0) exit(0);
  length += (size_t)count;
  text[length] = '\0';
  for (char *end; (end = strchr(text, '\n')) != NULL;) {
    *end = '\0';
    int number = 0;
    if (sscanf(text, "stall %d", &number) == 1) stall(number), printf("{}\n");
    else if (strcmp(text, "measure") == 0) begin_measuring(), printf("{}\n");
    else if (strcmp(text, "report") == 0) report();
    else printf("{\"publishing\":%d}\n", publishing);
    length -= (size_t)(end + 1 - text);
    memmove(text, end + 1, length + 1);
  }
  fflush(stdout);
}

int main(int count, char **arguments) {
  int ports = count > 1 ? atoi(arguments[1]) : 1;
  struct listener control = {kind_control, 0, false};
  allow_many_files();
  epoll_fd = epoll_create1(0);
  watch(epoll_fd, 0, EPOLLIN, &control);
  printf("{\"ports\":[");
  for (int i = 0; i < ports; i++) {
    struct listener *listener = allocate(sizeof *listener);
    int port;
    *listener = (struct listener){kind_listener, listen_anywhere(&port), false};
    watch(epoll_fd, listener->fd, EPOLLIN, listener);
    printf("%s%d", i > 0 ? "," : "", port);
  }
  printf("]}\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      int kind = *(int *)events[i].data.ptr;
      if (kind == kind_control) obey();
      else if (kind == kind_listener) welcome(events[i].data.ptr);
      else receive(events[i].data.ptr);
    }
  }
}
