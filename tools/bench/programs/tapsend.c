// What a TAP can carry at all: a plain loop that writes ready-made valid TCP frames to it, to a kernel socket
// that listens behind it. Not a TCP: no timers, no retransmission; it only keeps within the peer's window.
//
//   tapsend IFNAME HOST-IP OUR-IP PORT SECONDS tso|mtu
//
// tso: frames of 44 * 1460 bytes with a virtio-net header (TSO, checksum offload). mtu: frames of 1460 bytes,
// complete. The TAP must be up, with its address, and a permanent neighbour entry for OUR-IP at 02:00:00:00:00:02.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VNET = 12, ETH = 14, IP = 20, TCP = 20, MSS = 1460, SEGMENTS = 44 };
static const unsigned char our_mac[6] = {2, 0, 0, 0, 0, 2};
static unsigned char host_mac[6];
static uint32_t host_ip, our_ip;
static uint16_t host_port, our_port = 40000;
static int tap, vnet;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t sum_words(const void *data, size_t size) {
  const unsigned char *p = data;
  uint64_t sum = 0;
  for (; size > 1; size -= 2, p += 2) sum += (uint32_t)p[0] << 8 | p[1];
  return size ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

static void put16(unsigned char *p, uint16_t v) { p[0] = v >> 8, p[1] = v; }
static void put32(unsigned char *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v); }
static uint32_t get32(const unsigned char *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static uint64_t pseudo_sum(unsigned tcp_size) {
  unsigned char pseudo[12];
  put32(pseudo, our_ip), put32(pseudo + 4, host_ip), pseudo[8] = 0, pseudo[9] = 6, put16(pseudo + 10, tcp_size);
  return sum_words(pseudo, sizeof pseudo);
}

// Builds everything but the checksum of the TCP segment; `options` bytes follow the TCP header.
static unsigned char *build(unsigned char *frame, uint32_t seq, uint32_t ack, int flags, int options, int payload) {
  memset(frame, 0, VNET);
  unsigned char *eth = frame + (vnet ? VNET : 0), *ip = eth + ETH, *tcp = ip + IP;
  memcpy(eth, host_mac, 6), memcpy(eth + 6, our_mac, 6), put16(eth + 12, 0x0800);
  memset(ip, 0, IP);
  ip[0] = 0x45, put16(ip + 2, IP + TCP + options + payload), put16(ip + 6, 0x4000), ip[8] = 64, ip[9] = 6;
  put32(ip + 12, our_ip), put32(ip + 16, host_ip), put16(ip + 10, ~fold(sum_words(ip, IP)));
  put16(tcp, our_port), put16(tcp + 2, host_port), put32(tcp + 4, seq), put32(tcp + 8, ack);
  tcp[12] = (TCP + options) / 4 << 4, tcp[13] = flags, put16(tcp + 14, 65535), put32(tcp + 16, 0);
  return tcp;
}

static void transmit(const unsigned char *frame, int size) {
  while (write(tap, frame, size) != size)
    if (errno != EAGAIN && errno != EINTR) fail("write to the TAP");
}

// The peer's TCP header, or NULL when there is nothing more to read.
static unsigned char *receive(int milliseconds) {
  static unsigned char frame[70000];
  struct pollfd ready = {tap, POLLIN, 0};
  for (;;) {
    ssize_t size = read(tap, frame, sizeof frame);
    if (size < 0) {
      if (errno != EAGAIN) fail("read from the TAP");
      if (milliseconds == 0 || poll(&ready, 1, milliseconds) == 0) return NULL;
      continue;
    }
    unsigned char *ip = frame + (vnet ? VNET : 0) + ETH;
    if (size < (vnet ? VNET : 0) + ETH + IP + TCP || ip[-2] != 8 || ip[-1] != 0 || ip[9] != 6) continue;
    unsigned char *tcp = ip + (ip[0] & 15) * 4;
    if (((tcp[2] << 8) | tcp[3]) == our_port) return tcp;
  }
}

int main(int argc, char **argv) {
  if (argc != 7) return fprintf(stderr, "usage: tapsend IFNAME HOST-IP OUR-IP PORT SECONDS tso|mtu\n"), 64;
  host_ip = ntohl(inet_addr(argv[2])), our_ip = ntohl(inet_addr(argv[3])), host_port = atoi(argv[4]);
  double seconds = atof(argv[5]);
  vnet = !strcmp(argv[6], "tso");

  struct ifreq request = {0};
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0);
  if ((tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0 || ioctl(tap, TUNSETIFF, &request) < 0) fail("TAP");
  int size = VNET;
  if (vnet && (ioctl(tap, TUNSETVNETHDRSZ, &size) < 0 || ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0))
    fail("offloads");
  int any = socket(AF_INET, SOCK_DGRAM, 0);
  if (ioctl(any, SIOCGIFHWADDR, &request) < 0) fail("hardware address");
  memcpy(host_mac, request.ifr_hwaddr.sa_data, 6);
  // The interface has its carrier only now that this program holds it.
  usleep(200000);

  static unsigned char frame[VNET + ETH + IP + TCP + 8 + SEGMENTS * MSS];
  int front = vnet ? VNET : 0;
  uint32_t seq = 1000, ack = 0, una, window = 0;
  int scale = 0;
  unsigned char *tcp = build(frame, seq, 0, 0x02, 8, 0), *peer;
  static const unsigned char syn_options[8] = {2, 4, MSS >> 8, MSS & 255, 1, 3, 3, 14};
  memcpy(tcp + TCP, syn_options, 8);
  put16(tcp + 16, ~fold(pseudo_sum(TCP + 8) + sum_words(tcp, TCP + 8)));
  transmit(frame, front + ETH + IP + TCP + 8);
  do {
    if (!(peer = receive(3000))) return fprintf(stderr, "no answer to the SYN\n"), 1;
  } while ((peer[13] & 0x12) != 0x12);
  ack = get32(peer + 4) + 1, seq += 1, una = seq, window = (peer[14] << 8) | peer[15];
  for (unsigned char *o = peer + TCP, *end = peer + (peer[12] >> 4) * 4; o < end && *o;) {
    if (*o == 1) { o++; continue; }
    if (*o == 3) scale = o[2];
    o += o[1];
  }
  tcp = build(frame, seq, ack, 0x10, 0, 0);
  put16(tcp + 16, ~fold(pseudo_sum(TCP) + sum_words(tcp, TCP)));
  transmit(frame, front + ETH + IP + TCP);

  int payload = vnet ? SEGMENTS * MSS : MSS;
  tcp = build(frame, 0, ack, 0x18, 0, payload);
  for (int i = 0; i < payload; i++) tcp[TCP + i] = i * 7;
  // Everything but the sequence number is the same in every frame, and so is its share of the checksum.
  uint64_t constant = pseudo_sum(TCP + payload) + (vnet ? 0 : sum_words(tcp, TCP + payload));
  if (vnet) {
    struct virtio_net_hdr *header = (struct virtio_net_hdr *)frame;
    header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, header->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    header->hdr_len = ETH + IP + TCP, header->gso_size = MSS, header->csum_start = ETH + IP, header->csum_offset = 16;
  }
  unsigned long long sent = 0;
  double start = now(), stop = start + seconds;
  while (now() < stop) {
    int patience = seq - una + payload > window ? 100 : 0;
    while ((peer = receive(patience))) {
      patience = 0;
      if (peer[13] & 4) return fprintf(stderr, "reset by the peer\n"), 1;
      una = get32(peer + 8), window = ((peer[14] << 8) | peer[15]) << scale;
    }
    for (int batch = 0; batch < 16 && seq - una + payload <= window; batch++) {
      put32(tcp + 4, seq);
      put16(tcp + 16, vnet ? fold(constant) : (uint16_t)~fold(constant + (seq >> 16) + (seq & 0xffff)));
      transmit(frame, front + ETH + IP + TCP + payload);
      seq += payload, sent += payload;
    }
  }
  double end = now();
  tcp = build(frame, seq, ack, 0x14, 0, 0);
  put16(tcp + 16, ~fold(pseudo_sum(TCP) + sum_words(tcp, TCP)));
  memset(frame, 0, VNET * !!vnet);
  transmit(frame, front + ETH + IP + TCP);
  printf("bytes=%llu seconds=%.6f bitsPerSecond=%.0f\n", sent, end - start, sent * 8 / (end - start));
  return 0;
}
