// A closed-loop HTTP/1.1 load generator: one thread, epoll, CONCURRENCY connections that each send their next request when the last
// was answered. It checks what it measures: the status, the number of SSE events and the last bytes of every answer.
// No request is like the one before: where the body has PAD, up to SPAN bytes of text are sent, as many as are drawn.
//
// usage: load PORT PATH BODY_FILE SPAN CONCURRENCY MAX_REQUESTS MAX_SECONDS EVENTS END_OF_ANSWER [HEADER...]
//
// EVENTS is how many SSE events every answer must have (0: it is no stream), END_OF_ANSWER its last bytes. Prints one JSON object.
#define _GNU_SOURCE
#include <arpa/inet.h>
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384
#define TAIL_BYTES 64
#define MOST_GAPS 4000000
#define PAD "@PAD@"
#define MOST_PAD 65536
#define GRACE_S 30.0 // after MAX_SECONDS, for what is under way

typedef long long ns_t;
enum part { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

typedef struct {
  int fd, active, status, close, head_len, line_len, newline, events, tail_len;
  enum part part;
  long long left;
  ns_t sent, first, last;
  char line[32], tail[TAIL_BYTES], head[HEAD_BYTES];
} conn;

static struct {
  const char *path, *end;
  int port, span, concurrency, events, end_len;
  long long max_requests;
  double max_seconds;
} want;

static struct {
  long long started, done, errors, not_200, bad_events, bad_end, events, reads, bytes, gaps;
  ns_t began, ended;
} seen;

static int ep;
static struct sockaddr_in server;
static char request_head[HEAD_BYTES], before_pad[1 << 22], *after_pad, pad[MOST_PAD];
static int head_len, before_len, after_len, span;
static ns_t *latency, *first_byte, *gap;

static ns_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double seconds(void) { return (now_ns() - seen.began) / 1e9; }

static void dial(conn *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&server, sizeof server)) {
    perror("load: cannot connect");
    exit(2);
  }
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void redial(conn *c) {
  close(c->fd);
  dial(c);
}

// Sends the next request; its length is drawn from a sequence that covers the span evenly. What goes wrong is told by the next read.
static void send_request(conn *c) {
  static unsigned drawn;
  int n = span ? (int)(((unsigned long long)(drawn += 2654435769u) * span) >> 32) : 0;
  int end = head_len + sprintf(request_head + head_len, "%d\r\n\r\n", before_len + n + after_len);
  struct iovec parts[] = {{request_head, end}, {before_pad, before_len}, {pad, n}, {after_pad, after_len}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 4};
  if (sendmsg(c->fd, &message, MSG_NOSIGNAL) < end + before_len + n + after_len) shutdown(c->fd, SHUT_RDWR);
}

static void next(conn *c) {
  c->active = 0;
  if (seen.started >= want.max_requests || seconds() >= want.max_seconds) return;
  seen.started++;
  c->active = 1;
  c->part = HEAD;
  c->status = c->close = c->head_len = c->line_len = c->newline = c->events = c->tail_len = 0;
  c->first = c->last = 0;
  c->sent = now_ns();
  send_request(c);
}

static void fail(conn *c) {
  seen.errors++;
  redial(c);
  next(c);
}

static void finish(conn *c) {
  ns_t now = now_ns();
  if (c->status != 200) seen.not_200++;
  if (want.events && c->events != want.events) seen.bad_events++;
  if (c->tail_len < want.end_len || memcmp(c->tail + c->tail_len - want.end_len, want.end, want.end_len)) seen.bad_end++;
  latency[seen.done] = now - c->sent;
  first_byte[seen.done] = (c->first ? c->first : now) - c->sent;
  seen.done++;
  seen.events += c->events;
  seen.ended = now;
  if (c->close) redial(c);
  next(c);
}

static void count_events(conn *c, const char *p, const char *end) {
  if (c->newline && *p == '\n') c->events++;
  c->newline = 0;
  while (p < end && (p = memchr(p, '\n', end - p))) {
    if (p + 1 == end) {
      c->newline = 1;
      return;
    }
    if (p[1] == '\n') c->events++, p++;
    p++;
  }
}

static void body(conn *c, const char *p, int n) {
  if (!c->first) c->first = now_ns();
  if (want.events) count_events(c, p, p + n);
  int keep = n < TAIL_BYTES ? n : TAIL_BYTES, older = c->tail_len < TAIL_BYTES - keep ? c->tail_len : TAIL_BYTES - keep;
  memmove(c->tail, c->tail + c->tail_len - older, older);
  memcpy(c->tail + older, p + n - keep, keep);
  c->tail_len = older + keep;
}

// Reads the head once it is whole; how many of these bytes were its own, or -1 if it is too long.
static int head(conn *c, const char *p, int n) {
  int before = c->head_len, take = n < HEAD_BYTES - 1 - before ? n : HEAD_BYTES - 1 - before;
  memcpy(c->head + before, p, take);
  c->head_len += take;
  int from = before > 3 ? before - 3 : 0;
  char *end = memmem(c->head + from, c->head_len - from, "\r\n\r\n", 4);
  if (!end) return c->head_len >= HEAD_BYTES - 1 ? -1 : take;
  end[2] = 0;
  c->status = atoi(c->head + 9);
  c->part = UNTIL_CLOSE;
  c->left = -1;
  for (char *line = strchr(c->head, '\n'); line; line = strchr(line, '\n')) {
    line++;
    if (!strncasecmp(line, "content-length:", 15)) c->left = atoll(line + 15), c->part = LENGTH;
    if (!strncasecmp(line, "transfer-encoding:", 18)) c->part = CHUNK_SIZE;
    if (!strncasecmp(line, "connection: close", 17)) c->close = 1;
  }
  if (c->part == UNTIL_CLOSE) c->close = 1;
  return end + 4 - c->head - before;
}

// Body bytes up to the end of the part; 1 if the part is over.
static int body_part(conn *c, const char *p, int n, int *used) {
  int take = n < c->left ? n : c->left;
  body(c, p, take);
  c->left -= take;
  *used = take;
  return !c->left;
}

// One line of the chunked framing, a byte at a time; 1 if the answer is over.
static int framing(conn *c, char byte) {
  if (byte != '\n') {
    if (byte != '\r' && c->line_len < 31) c->line[c->line_len++] = byte;
    return 0;
  }
  int len = c->line_len;
  c->line[len] = 0;
  c->line_len = 0;
  if (c->part == CHUNK_END) {
    c->part = CHUNK_SIZE;
  } else if (c->part == CHUNK_SIZE) {
    c->left = strtoll(c->line, NULL, 16);
    c->part = c->left ? CHUNK_DATA : TRAILER;
  } else {
    return len == 0;
  }
  return 0;
}

// Takes what was read; 1 if the answer is over, -1 if it cannot be read.
static int feed(conn *c, const char *p, int n) {
  for (int i = 0; i < n;) {
    int used = 1;
    if (c->part == HEAD) {
      if ((used = head(c, p + i, n - i)) < 0) return -1;
      if (c->part == LENGTH && !c->left) return 1;
    } else if (c->part == LENGTH) {
      if (body_part(c, p + i, n - i, &used)) return 1;
    } else if (c->part == CHUNK_DATA) {
      if (body_part(c, p + i, n - i, &used)) c->part = CHUNK_END;
    } else if (c->part == UNTIL_CLOSE) {
      body(c, p + i, used = n - i);
    } else if (framing(c, p[i])) {
      return 1;
    }
    i += used;
  }
  return 0;
}

static void readable(conn *c) {
  static char buffer[262144];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
  if (n <= 0) {
    if (c->active && c->part == UNTIL_CLOSE) {
      finish(c);
    } else if (c->active) {
      fail(c);
    } else {
      redial(c);
    }
    return;
  }
  seen.reads++;
  seen.bytes += n;
  if (!c->active) return;
  ns_t now = now_ns();
  if (c->last && seen.gaps < MOST_GAPS) gap[seen.gaps++] = now - c->last;
  c->last = now;
  int over = feed(c, buffer, n);
  if (over > 0) finish(c);
  if (over < 0) fail(c);
}

static int by_size(const void *a, const void *b) {
  ns_t x = *(const ns_t *)a, y = *(const ns_t *)b;
  return (x > y) - (x < y);
}

static void quantiles(const char *name, ns_t *values, long long n) {
  qsort(values, n, sizeof *values, by_size);
  double p50 = n ? values[(n - 1) / 2] / 1e3 : 0, p99 = n ? values[(long long)(.99 * (n - 1))] / 1e3 : 0;
  printf("\"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, ", name, p50, name, p99);
}

static void report(void) {
  double took = (seen.ended - seen.began) / 1e9;
  printf("{");
  quantiles("latency", latency, seen.done);
  quantiles("first_byte", first_byte, seen.done);
  quantiles("gap", gap, seen.gaps);
  printf("\"done\": %lld, \"errors\": %lld, \"not_200\": %lld, \"bad_events\": %lld, \"bad_end\": %lld, ", seen.done, seen.errors,
         seen.not_200, seen.bad_events, seen.bad_end);
  printf("\"seconds\": %.4f, \"events\": %lld, \"reads\": %lld, \"bytes\": %lld}\n", took, seen.events, seen.reads, seen.bytes);
}

static void make_request(const char *body_file, int headers, char **header) {
  FILE *f = fopen(body_file, "rb");
  if (!f) {
    perror("load: cannot read the body");
    exit(2);
  }
  before_len = fread(before_pad, 1, sizeof before_pad - 1, f);
  fclose(f);
  after_pad = strstr(before_pad, PAD);
  if (after_pad) {
    span = want.span;
    after_len = before_len - (after_pad - before_pad) - strlen(PAD);
    before_len = after_pad - before_pad;
    after_pad += strlen(PAD);
  }
  for (int i = 0; i < MOST_PAD; i++) pad[i] = "the quick brown fox jumps over the lazy dog "[i % 44];
  head_len = sprintf(request_head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: OpenAI/Python 2.0\r\n"
                     "Accept: application/json\r\nContent-Type: application/json\r\n", want.path, want.port);
  for (int i = 0; i < headers; i++) head_len += snprintf(request_head + head_len, 1024, "%s\r\n", header[i]);
  head_len += sprintf(request_head + head_len, "Content-Length: ");
}

static int any_active(const conn *all) {
  for (int i = 0; i < want.concurrency; i++)
    if (all[i].active) return 1;
  return 0;
}

static void run(void) {
  static struct epoll_event events[512];
  conn *all = calloc(want.concurrency, sizeof *all);
  for (int i = 0; i < want.concurrency; i++) dial(&all[i]);
  seen.began = seen.ended = now_ns();
  for (int i = 0; i < want.concurrency; i++) next(&all[i]);
  while (any_active(all)) {
    if (seconds() > want.max_seconds + GRACE_S) {
      for (int i = 0; i < want.concurrency; i++) seen.errors += all[i].active;
      return;
    }
    int n = epoll_wait(ep, events, 512, 1000);
    for (int i = 0; i < n; i++) readable(events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  if (argc < 10) {
    fprintf(stderr, "usage: load PORT PATH BODY_FILE SPAN CONCURRENCY MAX_REQUESTS MAX_SECONDS EVENTS END_OF_ANSWER [HEADER...]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  want.port = atoi(argv[1]), want.path = argv[2], want.span = atoi(argv[4]), want.concurrency = atoi(argv[5]);
  want.max_requests = atoll(argv[6]), want.max_seconds = atof(argv[7]), want.events = atoi(argv[8]);
  want.end = argv[9], want.end_len = strlen(argv[9]);
  if (want.span > MOST_PAD) want.span = MOST_PAD;
  server.sin_family = AF_INET, server.sin_port = htons(want.port), server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  make_request(argv[3], argc - 10, argv + 10);
  size_t room = (want.max_requests + 1) * sizeof(ns_t);
  latency = malloc(room), first_byte = malloc(room), gap = malloc(MOST_GAPS * sizeof(ns_t));
  ep = epoll_create1(0);
  run();
  report();
  return 0;
}
