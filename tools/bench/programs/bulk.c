// The kernel's side of the measurements: plain blocking sockets.
//
//   bulk recv PORT [N]             accepts N connections, or one, reads 256 KiB at a time to their end
//   bulk send HOST PORT SECONDS    connects, writes 256 KiB at a time
//   bulk echo PORT                 accepts one connection, returns what it gets
//   bulk pingpong HOST PORT N      N round trips of one byte: mean and percentiles
//   bulk accept PORT               accepts connections and closes each when its peer does
//   bulk connect HOST PORT N       N connections one after another, each ended with a reset: mean and percentiles of connect()
//   bulk idle HOST PORT N          opens N connections and keeps them until standard input ends
//
// Servers print `ready`. Results are `key=value` words on one line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 };
static char chunk[CHUNK];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int listen_at(const char *port) {
  int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (server < 0) fail("socket");
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(server, SOMAXCONN) < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
  return server;
}

static int accept_at(int server) {
  int connection = accept(server, NULL, NULL);
  if (connection < 0) fail("accept");
  return connection;
}

static int connect_to(const char *host, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("address");
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connection < 0) fail("socket");
  if (connect(connection, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  return connection;
}

static void report(unsigned long long bytes, double seconds) {
  printf("bytes=%llu seconds=%.6f bitsPerSecond=%.0f\n", bytes, seconds, seconds > 0 ? bytes * 8 / seconds : 0);
}

static void receive(const char *port, int count) {
  int server = listen_at(port), open = count;
  struct pollfd *ends = calloc(count, sizeof *ends);
  for (int i = 0; i < count; i++) ends[i] = (struct pollfd){.fd = accept_at(server), .events = POLLIN};
  unsigned long long total = 0;
  double first = 0, last = 0;
  while (open > 0) {
    if (count > 1 && poll(ends, count, -1) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < count; i++) {
      if (ends[i].fd < 0 || (count > 1 && !ends[i].revents)) continue;
      ssize_t bytes = recv(ends[i].fd, chunk, CHUNK, 0);
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0 && errno != ECONNRESET) fail("recv");
      if (bytes <= 0) {
        ends[i].fd = -1;
        open--;
        continue;
      }
      last = now();
      if (first == 0) first = last;
      total += bytes;
    }
  }
  report(total, last - first);
}

static void send_for(const char *host, const char *port, double seconds) {
  int connection = connect_to(host, port);
  unsigned long long total = 0;
  double start = now();
  while (now() - start < seconds) {
    ssize_t count = send(connection, chunk, CHUNK, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) break;
      fail("send");
    }
    total += count;
  }
  report(total, now() - start);
}

static void echo(const char *port) {
  int connection = accept_at(listen_at(port)), one = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ssize_t count;
  while ((count = recv(connection, chunk, CHUNK, 0)) > 0)
    if (send(connection, chunk, count, MSG_NOSIGNAL) != count) break;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void report_times(double *times, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += times[i];
  qsort(times, count, sizeof *times, by_size);
  printf("rounds=%d mean=%.2f p50=%.2f p99=%.2f\n", count, sum / count, times[count / 2], times[count / 100 * 99]);
}

static void pingpong(const char *host, const char *port, int rounds) {
  int connection = connect_to(host, port), one = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  double *times = calloc(rounds, sizeof *times);
  for (int i = -100; i < rounds; i++) {
    double start = now();
    if (send(connection, chunk, 1, MSG_NOSIGNAL) != 1) fail("send");
    if (recv(connection, chunk, 1, 0) != 1) fail("recv");
    if (i >= 0) times[i] = (now() - start) * 1e6;
  }
  report_times(times, rounds);
}

static void accept_all(const char *port) {
  int server = listen_at(port);
  for (;;) {
    int connection = accept_at(server);
    while (recv(connection, chunk, CHUNK, 0) > 0) {}
    close(connection);
  }
}

static void connect_often(const char *host, const char *port, int rounds) {
  double *times = calloc(rounds, sizeof *times);
  // A reset leaves nothing in TIME-WAIT, here or there.
  struct linger reset = {1, 0};
  for (int i = -100; i < rounds; i++) {
    double start = now();
    int connection = connect_to(host, port);
    if (i >= 0) times[i] = (now() - start) * 1e6;
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection);
  }
  report_times(times, rounds);
}

static void idle(const char *host, const char *port, int count) {
  struct rlimit limit = {count + 100, count + 100};
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("setrlimit");
  for (int i = 0; i < count; i++) connect_to(host, port);
  printf("ready connections=%d\n", count);
  fflush(stdout);
  while (getchar() != EOF) {}
}

int main(int argc, char **argv) {
  const char *program = argc > 1 ? argv[1] : "";
  if (!strcmp(program, "recv") && (argc == 3 || argc == 4)) receive(argv[2], argc == 4 ? atoi(argv[3]) : 1);
  else if (!strcmp(program, "send") && argc == 5) send_for(argv[2], argv[3], atof(argv[4]));
  else if (!strcmp(program, "echo") && argc == 3) echo(argv[2]);
  else if (!strcmp(program, "pingpong") && argc == 5) pingpong(argv[2], argv[3], atoi(argv[4]));
  else if (!strcmp(program, "accept") && argc == 3) accept_all(argv[2]);
  else if (!strcmp(program, "connect") && argc == 5) connect_often(argv[2], argv[3], atoi(argv[4]));
  else if (!strcmp(program, "idle") && argc == 5) idle(argv[2], argv[3], atoi(argv[4]));
  else {
    fprintf(stderr, "usage: bulk recv PORT [N] | send HOST PORT SECONDS | echo PORT | pingpong HOST PORT N | accept PORT | "
                    "connect HOST PORT N | idle HOST PORT N\n");
    return 64;
  }
  return 0;
}
