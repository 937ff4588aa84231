// The kernel's side of the measurements: plain blocking sockets.
//
//   bulk recv PORT                 accepts one connection, reads 256 KiB at a time to its end
//   bulk send HOST PORT SECONDS    connects, writes 256 KiB at a time
//   bulk echo PORT                 accepts one connection, returns what it gets
//   bulk pingpong HOST PORT N      N round trips of one byte: mean and percentiles
//   bulk idle HOST PORT N          opens N connections and keeps them until standard input ends
//
// Servers print `ready`. Results are `key=value` words on one line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static int listen_once(const char *port) {
  int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (server < 0) fail("socket");
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(server, 16) < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
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

static void receive(const char *port) {
  int connection = listen_once(port);
  unsigned long long total = 0;
  double first = 0, last = 0;
  for (;;) {
    ssize_t count = recv(connection, chunk, CHUNK, 0);
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) break;
      fail("recv");
    }
    last = now();
    if (first == 0) first = last;
    total += count;
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
  int connection = listen_once(port), one = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ssize_t count;
  while ((count = recv(connection, chunk, CHUNK, 0)) > 0)
    if (send(connection, chunk, count, MSG_NOSIGNAL) != count) break;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void pingpong(const char *host, const char *port, int rounds) {
  int connection = connect_to(host, port), one = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  double *times = calloc(rounds, sizeof *times), sum = 0;
  for (int i = -100; i < rounds; i++) {
    double start = now();
    if (send(connection, chunk, 1, MSG_NOSIGNAL) != 1) fail("send");
    if (recv(connection, chunk, 1, 0) != 1) fail("recv");
    if (i >= 0) sum += times[i] = (now() - start) * 1e6;
  }
  qsort(times, rounds, sizeof *times, by_size);
  printf("rounds=%d mean=%.2f p50=%.2f p99=%.2f\n", rounds, sum / rounds, times[rounds / 2], times[rounds / 100 * 99]);
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
  if (!strcmp(program, "recv") && argc == 3) receive(argv[2]);
  else if (!strcmp(program, "send") && argc == 5) send_for(argv[2], argv[3], atof(argv[4]));
  else if (!strcmp(program, "echo") && argc == 3) echo(argv[2]);
  else if (!strcmp(program, "pingpong") && argc == 5) pingpong(argv[2], argv[3], atoi(argv[4]));
  else if (!strcmp(program, "idle") && argc == 5) idle(argv[2], argv[3], atoi(argv[4]));
  else {
    fprintf(stderr, "usage: bulk recv PORT | send HOST PORT SECONDS | echo PORT | pingpong HOST PORT N | idle HOST PORT N\n");
    return 64;
  }
  return 0;
}
