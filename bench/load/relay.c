/*
 * A relay that does nothing but recv() and send(): relay MS PORT… forwards what each publisher sends, as it came, to one connection on each
 * of these ports. No other server can cost less on the same kernel with one send() per read and output; and what the bench itself adds
 * in delay is seen with it. With MS it rests for so many milliseconds before it reads, as a server does that gathers: what the kernel
 * costs then. Prints its port. It waits for whom it cannot send to.
 */
#include "rtmp.h"
#include <poll.h>

enum { kind_listener, kind_source, kind_output };
struct output {
  int kind;
  struct source *source;
  struct client client;
};
struct source {
  int kind;
  struct guest guest;
  struct reader reader;
  char key[128];
  bool asked, live;
  int ready;
  struct output **outputs;
};

static int epoll_fd, port_count, rest_ms;
static int *ports;

static void open_outputs(struct source *source) {
  source->outputs = allocate(sizeof *source->outputs * (size_t)port_count);
  for (int i = 0; i < port_count; i++) {
    struct output *output = allocate(sizeof *output);
    output->kind = kind_output;
    output->source = source;
    client_open(&output->client, ports[i], "live", source->key);
    source->outputs[i] = output;
    watch(epoll_fd, output->client.fd, EPOLLIN, output);
  }
}

static void hear(void *owner, const struct message *message) {
  struct source *source = owner;
  if (!guest_hear(&source->guest, message) || source->asked) return;
  /* publish: name, transaction, null, then the stream key */
  const uint8_t *key = message->body + 3 + 7 + 9 + 1;
  uint32_t length = be(key + 1, 2);
  if (length >= sizeof source->key) die("a stream key that is too long");
  memcpy(source->key, key + 3, length);
  source->asked = true;
  open_outputs(source);
}

static void pass_on(struct source *source, const uint8_t *bytes, size_t count) {
  for (int i = 0; i < port_count; i++) {
    int fd = source->outputs[i]->client.fd;
    for (size_t sent = 0; sent < count;) {
      ssize_t taken = send(fd, bytes + sent, count - sent, MSG_NOSIGNAL);
      if (taken > 0) sent += (size_t)taken;
      else if (errno == EAGAIN) poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
      else exit(0);
    }
  }
}

static void receive_source(struct source *source) {
  static uint8_t bytes[1 << 20];
  if (source->live && rest_ms > 0) nanosleep(&(struct timespec){0, rest_ms * 1000000L}, NULL);
  ssize_t count = recv(source->guest.fd, bytes, rest_ms > 0 ? sizeof bytes : 1 << 16, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) exit(0);
  if (source->live) {
    pass_on(source, bytes, (size_t)count);
    return;
  }
  int used = source->guest.shaken ? 0 : guest_shake(&source->guest, bytes, (int)count);
  read_chunks(&source->reader, bytes + used, (size_t)(count - used), hear, source);
}

static void receive_output(struct output *output) {
  static uint8_t bytes[1 << 12];
  ssize_t count = recv(output->client.fd, bytes, sizeof bytes, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) exit(0);
  bool before = output->client.published;
  client_receive(&output->client, bytes, (int)count);
  if (before || !output->client.published || ++output->source->ready < port_count) return;
  output->source->live = true;
  guest_start(&output->source->guest);
}

static void welcome(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  struct source *source = allocate(sizeof *source);
  source->kind = kind_source;
  source->guest.fd = fd;
  watch(epoll_fd, fd, EPOLLIN, source);
}

int main(int count, char **arguments) {
  int listener_kind = kind_listener, port, listener;
  if (count < 3) die("relay MS PORT...");
  rest_ms = atoi(arguments[1]);
  port_count = count - 2;
  ports = allocate(sizeof *ports * (size_t)port_count);
  for (int i = 0; i < port_count; i++) ports[i] = atoi(arguments[i + 2]);
  allow_many_files();
  epoll_fd = epoll_create1(0);
  listener = listen_anywhere(&port);
  watch(epoll_fd, listener, EPOLLIN, &listener_kind);
  printf("%d\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      int kind = *(int *)events[i].data.ptr;
      if (kind == kind_listener) welcome(listener);
      else if (kind == kind_source) receive_source(events[i].data.ptr);
      else receive_output(events[i].data.ptr);
    }
  }
}
