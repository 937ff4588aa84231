import CLinux
import Glibc

/// The calls that a stack which runs, and the process that puts things back after it, are left with. Nothing here opens a file by
/// name, makes a socket of the network, starts a program or another process, or changes who the process is.
extension SystemCallFilter {
  /// For a running stack: every thread of it, whatever clients and peers do.
  public static var daemon: SystemCallFilter {
    SystemCallFilter(always(runtime + frames + clients) + conditional)
  }

  /// For the process that waits for a stack's end: it removes the control socket (lstat, unlink), and puts back an interface over
  /// netlink (sendto, recvmsg, getsockname) and the TAP's own ioctls, on descriptors that it was given.
  public static var keeper: SystemCallFilter {
    var calls = runtime + frames + clients + [SYS_ioctl, SYS_newfstatat, SYS_unlinkat]
    #if arch(x86_64)
      calls += [SYS_lstat, SYS_unlink]
    #endif
    return SystemCallFilter(always(calls) + conditional.filter { $0.call != Int32(SYS_newfstatat) })
  }

  private static func always(_ calls: [Int32]) -> [Rule] { calls.map { Rule(call: $0, condition: .always) } }

  /// What Swift's runtime and the C library need to live, on rare paths too.
  private static var runtime: [Int32] {
    [
      // malloc: heaps grow, shrink and are given back; a thread's first allocation asks how many processors there are, to choose
      // an arena: by files, which it may not open, then so. mmap and mprotect are below.
      SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_sched_getaffinity,
      // Locks, condition variables, pthread_join; a thread registers itself when it starts (clone is below). An EINTR of a
      // sleep comes back as restart_syscall.
      SYS_futex, SYS_set_robust_list, SYS_rseq, SYS_sched_yield, SYS_restart_syscall, SYS_gettid, SYS_getpid,
      SYS_exit, SYS_exit_group,
      // pthread_create blocks signals around clone; abort() and handlers of a crash set, unblock and return from signals.
      SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_sigaltstack,
      // Clocks: the vDSO asks the kernel itself when the machine's clock source cannot be read from here. usleep.
      SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_nanosleep, SYS_clock_nanosleep,
      // Hash seeds, sequence numbers, keys.
      SYS_getrandom,
      // stdio at the end: what a stream had read ahead of its reader is given back.
      SYS_lseek, SYS_fstat,
    ] + oldClock
  }

  /// time(2) where there is no vDSO: a call of its own only on the older architecture.
  private static var oldClock: [Int32] {
    #if arch(x86_64)
      [SYS_time]
    #else
      []
    #endif
  }

  /// The TAP's queues and the loops around them.
  private static var frames: [Int32] {
    [
      SYS_readv, SYS_writev, SYS_read, SYS_write, SYS_close,
      // The loop of control clients is made once the stack is up. Descriptors wake threads up.
      SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait2, SYS_eventfd2, SYS_ppoll,
    ] + oldPoll
  }

  /// Waiting for one descriptor: poll(2) is a call of its own only on the older architecture.
  private static var oldPoll: [Int32] {
    #if arch(x86_64)
      [SYS_poll]
    #else
      []
    #endif
  }

  /// Clients of the control socket: taken, asked who they are, read, answered, given one end of a socket pair.
  private static var clients: [Int32] {
    [
      SYS_accept, SYS_accept4, SYS_getsockopt, SYS_recvmsg, SYS_recvfrom, SYS_sendto, SYS_sendmsg,
      SYS_shutdown,
      SYS_getsockname,
    ]
  }

  /// What depends on the arguments.
  private static var conditional: [Rule] {
    [
      // Threads of this process and nothing else: no process, no namespace. clone3(2) has its flags in memory, where no filter can
      // see them; without it the C library uses clone(2).
      Rule(
        call: SYS_clone,
        condition: .masked(
          argument: 0, mask: clinux_thread_flags | clinux_no_thread_flags, equals: clinux_thread_flags)),
      // Memory, but none that can be run: no code comes in that was not there at the start.
      Rule(call: SYS_mmap, condition: .masked(argument: 2, mask: UInt32(PROT_EXEC), equals: 0)),
      Rule(call: SYS_mprotect, condition: .masked(argument: 2, mask: UInt32(PROT_EXEC), equals: 0)),
      // abort() and the runtime's traps: signals to threads of this process alone.
      Rule(call: SYS_tgkill, condition: .oneOf(argument: 0, [UInt32(getpid())])),
      // nc and capture hand out one end of a pair; other sockets there are none to make.
      Rule(call: SYS_socketpair, condition: .oneOf(argument: 0, [UInt32(AF_UNIX)])),
      // What descriptors are made and marked with, and nothing that sends signals or takes locks.
      Rule(
        call: SYS_fcntl,
        condition: .oneOf(
          argument: 1, [F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC].map { UInt32($0) })),
      // fstat(2) as some C libraries write it, of a descriptor. Names give their metadata away with this flag, and no more.
      Rule(
        call: SYS_newfstatat,
        condition: .masked(
          argument: 3, mask: UInt32(clinux_empty_path), equals: UInt32(clinux_empty_path))),
    ]
  }
}
