// What Swift cannot import: glibc headers outside its module map, function-like macros, ioctl
// numbers, variadic functions, and the packed epoll_event. Nothing here decides anything.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <linux/if_addr.h>
#include <net/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "CLinuxSandbox.h"

// TUN_F_USO4/6 came with Linux 6.2; older headers lack them, the running kernel decides.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40
#endif

// --- TAP -----------------------------------------------------------------------------------

/// TUNSETIFF. `name` in: wanted name; out: the name the kernel gave. Room for IFNAMSIZ bytes.
static inline int clinux_tun_set_interface(int fd, char *name, short flags) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = flags;
  int result = ioctl(fd, TUNSETIFF, &request);
  if (result == 0) memcpy(name, request.ifr_name, IFNAMSIZ);
  return result;
}
static inline int clinux_tun_set_header_size(int fd, int size) {
  return ioctl(fd, TUNSETVNETHDRSZ, &size);
}
static inline int clinux_tun_get_header_size(int fd, int *size) {
  return ioctl(fd, TUNGETVNETHDRSZ, size);
}
static inline int clinux_tun_set_offload(int fd, unsigned long features) {
  return ioctl(fd, TUNSETOFFLOAD, features);
}

// --- files ---------------------------------------------------------------------------------

static inline int clinux_open(const char *path, int flags, unsigned mode) {
  return open(path, flags, mode);
}
static inline int clinux_fcntl(int fd, int command, int argument) {
  return fcntl(fd, command, argument);
}
/// tee(2), which glibc shows to C with _GNU_SOURCE only.
static inline ssize_t clinux_tee(int from, int to, size_t count, unsigned flags) {
  return syscall(SYS_tee, from, to, count, flags);
}

// --- namespaces, capabilities, entropy -----------------------------------------------------

static const int clinux_new_network_namespace = 0x40000000; // CLONE_NEWNET

static inline int clinux_set_namespace(int fd, int kind) {
  return (int)syscall(SYS_setns, fd, kind);
}
static inline int clinux_unshare(int kind) { return (int)syscall(SYS_unshare, kind); }

/// The calling thread's effective capabilities as one 64-bit set.
static inline int clinux_effective_capabilities(uint64_t *set) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  int result = (int)syscall(SYS_capget, &header, data);
  if (result == 0) *set = (uint64_t)data[1].effective << 32 | data[0].effective;
  return result;
}
/// Gives up, for the calling thread and the threads it starts, all ways to get a capability that is not in `kept`.
static inline int clinux_forgo_capabilities(uint64_t kept) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  // What a process without CAP_SETPCAP may not drop here it cannot gain either.
  for (int capability = 0; capability < 64; capability++)
    if (!(kept >> capability & 1)) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}
/// Gives up every capability that is not in `kept`.
static inline int clinux_keep_capabilities(uint64_t kept) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  for (int half = 0; half < 2; half++) {
    data[half].effective &= (uint32_t)(kept >> 32 * half);
    data[half].permitted &= (uint32_t)(kept >> 32 * half);
    data[half].inheritable = 0;
  }
  return (int)syscall(SYS_capset, &header, data);
}
static inline ssize_t clinux_getrandom(void *bytes, size_t count, unsigned flags) {
  return syscall(SYS_getrandom, bytes, count, flags);
}

// --- Processors ----------------------------------------------------------------------------

/// sched_getaffinity of the caller: as many bytes as the kernel wrote into `set`, or -1 with errno.
static inline int clinux_affinity(void *set, size_t byte_count) {
  return (int)syscall(SYS_sched_getaffinity, 0, byte_count, set);
}

// --- Memory of which nothing is known ----------------------------------------------------------

/// How many bytes were there to be read, and were copied; errno stays as it was.
static inline ssize_t clinux_copy_from_user(void *to, const void *from, ssize_t byte_count) {
  struct iovec ours = {to, (size_t)byte_count}, theirs = {(void *)from, (size_t)byte_count};
  int before = errno;
  ssize_t copied = syscall(SYS_process_vm_readv, getpid(), &ours, 1L, &theirs, 1L, 0L);
  errno = before;
  return copied < 0 ? 0 : copied;
}
/// As above, for bytes to be written.
static inline ssize_t clinux_copy_to_user(void *to, const void *from, ssize_t byte_count) {
  struct iovec ours = {(void *)from, (size_t)byte_count}, theirs = {to, (size_t)byte_count};
  int before = errno;
  ssize_t copied = syscall(SYS_process_vm_writev, getpid(), &ours, 1L, &theirs, 1L, 0L);
  errno = before;
  return copied < 0 ? 0 : copied;
}

// --- Frames ----------------------------------------------------------------------------------

/// readv and writev as the kernel has them: no points where a thread is cancelled, which cost as much as the call is slow to
/// enter when a frame is one call. -1 with errno.
static inline ssize_t clinux_readv(int fd, const struct iovec *vector, int count) {
  return syscall(SYS_readv, fd, vector, (long)count);
}
static inline ssize_t clinux_writev(int fd, const struct iovec *vector, int count) {
  return syscall(SYS_writev, fd, vector, (long)count);
}

// --- epoll, eventfd, signalfd --------------------------------------------------------------

static inline int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events,
                                       uint64_t token) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.u64 = token;
  return epoll_ctl(epoll, operation, fd, &event);
}
/// epoll_pwait2; a negative timeout waits for ever.
static inline int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity,
                                    int64_t nanoseconds) {
  struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  return (int)syscall(SYS_epoll_pwait2, epoll, events, capacity, nanoseconds < 0 ? NULL : &timeout,
                      NULL, 0);
}
static inline uint64_t clinux_epoll_token(const struct epoll_event *event) {
  return event->data.u64;
}
static inline uint32_t clinux_epoll_readiness(const struct epoll_event *event) {
  return event->events;
}
static inline int clinux_signalfd(const sigset_t *signals) {
  return signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
}
static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
/// SIG_IGN is a cast macro.
static inline int clinux_ignore_signal(int number) {
  return signal(number, SIG_IGN) == SIG_ERR ? -1 : 0;
}

/// Whether the process was started with the signal ignored, or ignores it: nohup, a background job of a script.
static inline int clinux_ignores_signal(int number) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}
/// SIG_DFL is a cast macro.
static inline int clinux_default_signal(int number) {
  return signal(number, SIG_DFL) == SIG_ERR ? -1 : 0;
}

// --- processes -----------------------------------------------------------------------------

static const short clinux_spawn_set_session = 0x80; // POSIX_SPAWN_SETSID, glibc 2.26

/// posix_spawn_file_actions_addclosefrom_np, glibc 2.34.
static inline int clinux_spawn_close_from(posix_spawn_file_actions_t *actions, int lowest) {
  extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
  return posix_spawn_file_actions_addclosefrom_np(actions, lowest);
}

// --- UNIX sockets --------------------------------------------------------------------------

// glibc's enumerations are imported as one of two types, or not at all, depending on which header
// Swift meets first.
static const int clinux_no_signal = MSG_NOSIGNAL;
static const int clinux_socket_stream = SOCK_STREAM | SOCK_CLOEXEC;
static const int clinux_socket_close_on_exec = SOCK_CLOEXEC;

/// `struct ucred` needs _GNU_SOURCE; the option value is three ints.
static inline int clinux_peer_credentials(int fd, int credentials[3]) {
  socklen_t length = 3 * sizeof(int);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, &length);
}
/// sendmsg with one SCM_RIGHTS descriptor.
static inline ssize_t clinux_send_descriptor(int socket, const void *bytes, size_t count, int fd) {
  union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  memset(&control, 0, sizeof control);
  struct iovec segment = {(void *)bytes, count};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  message.msg_control = control.room;
  message.msg_controllen = sizeof control.room;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}
/// recvmsg; `*fd` becomes the first passed descriptor or -1. The room holds exactly one, so the
/// kernel itself closes any further ones.
static inline ssize_t clinux_receive_descriptor(int socket, void *bytes, size_t count, int *fd) {
  union { char room[CMSG_LEN(sizeof(int))]; struct cmsghdr align; } control;
  struct iovec segment = {bytes, count};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  message.msg_control = control.room;
  message.msg_controllen = sizeof control.room;
  *fd = -1;
  ssize_t result = recvmsg(socket, &message, 0x40000000 /* MSG_CMSG_CLOEXEC */);
  if (result < 0) return result;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len >= CMSG_LEN(sizeof(int)))
    memcpy(fd, CMSG_DATA(header), sizeof *fd);
  return result;
}
