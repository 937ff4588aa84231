// Giving up what a process may do: users, forks, seccomp. Part of CLinux.h.
#pragma once

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

/// Becomes a user and a group for good, with no further group. glibc's wrappers do it for every thread of the process; the system
/// calls themselves are one thread's.
static inline int clinux_become(uid_t user, gid_t group) {
  extern int setresgid(gid_t, gid_t, gid_t);
  extern int setresuid(uid_t, uid_t, uid_t);
  if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0) return -1;
  return setresuid(user, user, user);
}

/// fork(2), which Swift hides: for a process of one thread.
static inline pid_t clinux_fork(void) { return fork(); }
static inline int clinux_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }
static inline int clinux_close_range(unsigned first, unsigned last) {
  return (int)syscall(SYS_close_range, first, last, 0);
}
static inline int clinux_name_process(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

/// seccomp(2) for all threads at once. 0, or -1 with errno; a thread that could not follow is ESRCH.
static inline int clinux_filter_system_calls(const struct sock_filter *instructions, unsigned short count) {
  struct sock_fprog program = {count, (struct sock_filter *)instructions};
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (result > 0) errno = ESRCH;
  return result == 0 ? 0 : -1;
}

// Swift imports none of these from glibc as they are: enumerations, casts, _GNU_SOURCE.
static const uint32_t clinux_thread_flags = 0x00010F00; // CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD
/// CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET; _VFORK, _PTRACE.
static const uint32_t clinux_no_thread_flags = 0x7E020000 | 0x4000 | 0x2000;
static const int clinux_empty_path = 0x1000; // AT_EMPTY_PATH
#if defined(__x86_64__)
static const uint32_t clinux_audit_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
static const uint32_t clinux_audit_architecture = AUDIT_ARCH_AARCH64;
#endif
