// The cheapest OpenAI-compatible chat upstream: one thread, epoll, answers made once at start. Behaves on the wire like vLLM.
//
// usage: mock PORT
//
// Of a request's body it reads `"stream"`, `"max_tokens"` (how many content chunks, 64 if left out), `"seed"` (milliseconds between
// chunks, none if left out) and `"include_usage"` (a usage chunk before [DONE], only where it is true). Every chunk is its own send().
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UNSENT_BYTES 65536   // of a client that reads slowly; beyond it the stream waits
#define FIRST_BYTES 4096     // of a connection's read buffer; it grows to what a request needs
#define BODY_BYTES (1 << 22) // of a chunked request body

typedef long long ns_t;

typedef struct conn {
  int fd, streaming, usage, left, delay_ms, at, wants_out, dead;
  ns_t due;
  char *in, *unsent;
  int in_len, in_cap, unsent_len;
  struct conn *next_dead;
} conn;

typedef struct {
  char bytes[4096];
  int len;
} text;

typedef struct {
  conn **list;
  int len, cap;
} set;

static int ep;
static conn *graveyard;
static set eager, paced; // streams without and with a pace; `paced` is a heap by `due`
static text answer, stream_head, chunk, last_chunk, usage_chunk, done, models, ok;

static ns_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void push(set *s, conn *c) {
  if (s->len == s->cap) {
    s->cap = s->cap ? s->cap * 2 : 1024;
    s->list = realloc(s->list, s->cap * sizeof *s->list);
  }
  s->list[s->len] = c;
  c->at = s->len++;
}

static void swap(int a, int b) {
  conn *t = paced.list[a];
  paced.list[a] = paced.list[b];
  paced.list[b] = t;
  paced.list[a]->at = a;
  paced.list[b]->at = b;
}

static void sift_up(int i) {
  for (int parent; i > 0 && paced.list[parent = (i - 1) / 2]->due > paced.list[i]->due; i = parent) swap(i, parent);
}

static void sift_down(int i) {
  for (;;) {
    int l = 2 * i + 1, r = l + 1, least = i;
    if (l < paced.len && paced.list[l]->due < paced.list[least]->due) least = l;
    if (r < paced.len && paced.list[r]->due < paced.list[least]->due) least = r;
    if (least == i) return;
    swap(least, i);
    i = least;
  }
}

static void begin_stream(conn *c) {
  c->streaming = 1;
  if (!c->delay_ms) {
    push(&eager, c);
    return;
  }
  c->due = now_ns() + c->delay_ms * 1000000LL;
  push(&paced, c);
  sift_up(c->at);
}

static void end_stream(conn *c) {
  int i = c->at;
  c->streaming = 0;
  if (!c->delay_ms) {
    eager.list[i] = eager.list[--eager.len];
    eager.list[i]->at = i;
    return;
  }
  swap(i, paced.len - 1);
  paced.len--;
  if (i < paced.len) {
    sift_up(i);
    sift_down(i);
  }
}

static void drop(conn *c) {
  if (c->dead) return;
  c->dead = 1;
  if (c->streaming) end_stream(c);
  close(c->fd);
  c->next_dead = graveyard;
  graveyard = c;
}

static void want_out(conn *c, int wanted) {
  struct epoll_event e = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = c};
  if (c->wants_out != wanted) epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
  c->wants_out = wanted;
}

static void put(conn *c, const text *what) {
  const char *bytes = what->bytes;
  int len = what->len;
  if (c->dead) return;
  if (!c->unsent_len) {
    ssize_t sent = send(c->fd, bytes, len, MSG_NOSIGNAL);
    if (sent == len) return;
    if (sent < 0 && errno != EAGAIN) {
      drop(c);
      return;
    }
    if (sent > 0) bytes += sent, len -= sent;
  }
  c->unsent = realloc(c->unsent, c->unsent_len + len);
  memcpy(c->unsent + c->unsent_len, bytes, len);
  c->unsent_len += len;
  want_out(c, 1);
}

static void flush_unsent(conn *c) {
  ssize_t sent = send(c->fd, c->unsent, c->unsent_len, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) drop(c);
    return;
  }
  c->unsent_len -= sent;
  memmove(c->unsent, c->unsent + sent, c->unsent_len);
  if (!c->unsent_len) want_out(c, 0);
}

// Emits one chunk of a stream, or its end.
static void step(conn *c, ns_t now) {
  if (c->unsent_len > UNSENT_BYTES) {
    c->due = now + 1000000;
  } else if (c->left > 0) {
    c->left--;
    put(c, c->left ? &chunk : &last_chunk);
    c->due += c->delay_ms * 1000000LL;
  } else {
    end_stream(c);
    if (c->usage) put(c, &usage_chunk);
    put(c, &done);
    return;
  }
  if (!c->dead && c->delay_ms) sift_down(c->at);
}

static const char *member(const char *body, int len, const char *name) {
  const char *p = memmem(body, len, name, strlen(name)), *end = body + len;
  if (!p) return NULL;
  for (p += strlen(name); p < end && (*p == ' ' || *p == ':');) p++;
  return p < end ? p : NULL;
}

static int is_true(const char *value) { return value && !strncmp(value, "true", 4); }

static int number(const char *value, int otherwise) { return value ? atoi(value) : otherwise; }

static void handle(conn *c, int path_len, const char *body, int len) {
  if (strncmp(c->in, "POST", 4)) {
    put(c, memmem(c->in, path_len, "/models", 7) ? &models : &ok);
    return;
  }
  if (!is_true(member(body, len, "\"stream\""))) {
    put(c, &answer);
    return;
  }
  const char *most = member(body, len, "\"max_tokens\"");
  c->left = number(most ? most : member(body, len, "\"max_completion_tokens\""), 64);
  c->delay_ms = number(member(body, len, "\"seed\""), 0);
  c->usage = is_true(member(body, len, "\"include_usage\""));
  put(c, &stream_head);
  if (!c->dead) begin_stream(c);
}

// Decodes a chunked body; its length, or -1 if it is not whole yet. `used` is what it took on the wire.
static int unchunked(char *p, char *end, char *out, int *used) {
  char *from = p;
  int len = 0;
  for (;;) {
    char *line = memmem(p, end - p, "\r\n", 2);
    if (!line) return -1;
    long n = strtol(p, NULL, 16);
    if (line + 2 + n + 2 > end) return -1;
    if (n == 0) {
      *used = line + 4 - from;
      return len;
    }
    if (len + n > BODY_BYTES) return -1;
    memcpy(out + len, line + 2, n);
    len += n;
    p = line + 2 + n + 2;
  }
}

// Answers every whole request that has been read.
static void consume(conn *c) {
  static char decoded[BODY_BYTES];
  while (!c->dead && c->in_len && !c->streaming) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return;
    int head_len = end - c->in + 4, len = 0, chunked = 0;
    for (char *p = memchr(c->in, '\n', head_len); p && p < end; p = memchr(p, '\n', c->in + head_len - p)) {
      p++;
      if (!strncasecmp(p, "content-length:", 15)) len = atoi(p + 15);
      if (!strncasecmp(p, "transfer-encoding:", 18)) chunked = 1;
    }
    char *body = c->in + head_len;
    int total = head_len + len;
    if (chunked) {
      int used = 0;
      if ((len = unchunked(body, c->in + c->in_len, decoded, &used)) < 0) return;
      body = decoded;
      total = head_len + used;
    } else if (c->in_len < total) {
      return;
    }
    handle(c, strcspn(c->in, "\r"), body, len);
    c->in_len -= total;
    memmove(c->in, c->in + total, c->in_len);
  }
}

static void receive(conn *c) {
  for (;;) {
    if (c->in_len + FIRST_BYTES > c->in_cap) c->in = realloc(c->in, c->in_cap *= 2);
    int room = c->in_cap - c->in_len;
    ssize_t got = recv(c->fd, c->in + c->in_len, room, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
      drop(c);
      return;
    }
    if (got > 0) c->in_len += got;
    if (got < room) break;
  }
  consume(c);
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->in_cap = 2 * FIRST_BYTES;
    c->in = malloc(c->in_cap);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
}

#define ID "\"id\":\"chatcmpl-9f3b2c1d8e7a4650b1c2d3e4f5a6b7c8\","
#define STAMP "\"created\":1767225600,\"model\":\"mock\","
#define FOX "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs. "
#define VEX "How vexingly quick daft zebras jump! Sphinx of black quartz, judge my vow. The five boxing wizards jump quickly."

static void whole(text *t, const char *body) {
  t->len = snprintf(t->bytes, sizeof t->bytes,
                    "HTTP/1.1 200 OK\r\nserver: mock\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
                    "x-request-id: 0123456789abcdef\r\n\r\n%s",
                    strlen(body), body);
}

static void event(text *t, const char *payload, const char *after) {
  t->len = snprintf(t->bytes, sizeof t->bytes, "%zx\r\ndata: %s\n\n\r\n%s", strlen(payload) + 8, payload, after);
}

static void write_answers(void) {
  whole(&answer, "{" ID "\"object\":\"chat.completion\"," STAMP
                 "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" FOX VEX
                 "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":420,\"completion_tokens\":57,"
                 "\"total_tokens\":477,\"prompt_tokens_details\":{\"cached_tokens\":0}},\"system_fingerprint\":\"fp_mock\"}");
  whole(&models, "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1,\"owned_by\":\"mock\"}]}");
  whole(&ok, "{\"status\":\"ok\"}");
  stream_head.len = snprintf(stream_head.bytes, sizeof stream_head.bytes,
                             "HTTP/1.1 200 OK\r\nserver: mock\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                             "cache-control: no-cache\r\nx-request-id: 0123456789abcdef\r\ntransfer-encoding: chunked\r\n\r\n");
  event(&chunk, "{" ID "\"object\":\"chat.completion.chunk\"," STAMP
                "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" lorem\"},\"finish_reason\":null}]}", "");
  event(&last_chunk, "{" ID "\"object\":\"chat.completion.chunk\"," STAMP
                     "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" ipsum\"},\"finish_reason\":\"stop\"}]}", "");
  event(&usage_chunk, "{" ID "\"object\":\"chat.completion.chunk\"," STAMP
                      "\"choices\":[],\"usage\":{\"prompt_tokens\":420,\"completion_tokens\":64,\"total_tokens\":484}}", "");
  event(&done, "[DONE]", "0\r\n\r\n");
}

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (void *)&at, sizeof at) || listen(fd, 4096)) {
    perror("mock: cannot listen");
    exit(1);
  }
  return fd;
}

static int wait_ms(void) {
  if (eager.len) return 0;
  if (!paced.len) return -1;
  ns_t left = paced.list[0]->due - now_ns();
  return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  write_answers();
  int listener = listen_on(argc > 1 ? atoi(argv[1]) : 9100);
  ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  static struct epoll_event events[1024];
  for (;;) {
    int n = epoll_wait(ep, events, 1024, wait_ms());
    for (int i = 0; i < n; i++) {
      conn *c = events[i].data.ptr;
      if (!c) accept_all(listener);
      if (!c || c->dead) continue;
      if (events[i].events & EPOLLOUT) flush_unsent(c);
      if (!c->dead && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    }
    for (int i = eager.len - 1; i >= 0; i--)
      if (i < eager.len) step(eager.list[i], 0);
    ns_t now = paced.len ? now_ns() : 0;
    while (paced.len && paced.list[0]->due <= now) step(paced.list[0], now);
    while (graveyard) {
      conn *c = graveyard;
      graveyard = c->next_dead;
      free(c->in);
      free(c->unsent);
      free(c);
    }
  }
}
