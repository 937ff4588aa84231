import CLinux
import Glibc
import Testing

@testable import LinuxHost

/// The programs that are given to the kernel, run here as the kernel runs them.
@Suite("System calls that are let through") struct SystemCallFilterTests {
  static let refused = UInt32(SECCOMP_RET_ERRNO) | UInt32(ENOSYS)
  static let allowed = UInt32(SECCOMP_RET_ALLOW)

  /// What the program answers to a call. Linux: `seccomp_run_filters`.
  static func answer(
    _ filter: SystemCallFilter, _ call: Int32, _ arguments: [UInt64] = [],
    architecture: UInt32 = clinux_audit_architecture
  ) throws -> UInt32 {
    var words = [UInt32(bitPattern: call), architecture, 0, 0]
    for index in 0..<6 {
      let argument = index < arguments.count ? arguments[index] : 0
      words += [UInt32(truncatingIfNeeded: argument), UInt32(truncatingIfNeeded: argument >> 32)]
    }
    let program = filter.instructions()
    var accumulator: UInt32 = 0
    var index = 0
    while index < program.count {
      let step = program[index]
      index += 1
      switch Int32(step.code) {
      case BPF_LD | BPF_W | BPF_ABS: accumulator = words[Int(step.k) / 4]
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= step.k
      case BPF_JMP | BPF_JEQ | BPF_K: index += Int(accumulator == step.k ? step.jt : step.jf)
      case BPF_RET | BPF_K: return step.k
      default: throw LinuxError(EINVAL, "run", "code \(step.code)")
      }
    }
    throw LinuxError(EINVAL, "run", "a program without an end")
  }

  /// What starts a program or a process, opens a name, becomes somebody, looks into other processes, loads code.
  static let never: [Int32] = [
    SYS_execve, SYS_execveat, SYS_clone3, SYS_unshare, SYS_setns, SYS_openat, SYS_openat2, SYS_socket,
    SYS_connect, SYS_bind, SYS_listen, SYS_setuid, SYS_setresuid, SYS_setgid, SYS_setgroups, SYS_capset,
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kill, SYS_mount,
    SYS_umount2,
    SYS_chroot, SYS_pivot_root, SYS_bpf, SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_keyctl,
    SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_memfd_create, SYS_renameat2, SYS_linkat,
    SYS_symlinkat, SYS_mkdirat, SYS_fchmodat, SYS_fchownat, SYS_truncate, SYS_prctl, SYS_seccomp, SYS_reboot,
    SYS_setrlimit, SYS_prlimit64, SYS_personality, SYS_pkey_mprotect, SYS_getdents64, SYS_wait4,
  ]

  @Test("a stack that runs starts no program, opens no name and becomes nobody") func refusals() throws {
    for call in Self.never + [SYS_ioctl, SYS_unlinkat] {
      #expect(try Self.answer(.daemon, call) == Self.refused, "\(call)")
    }
    for call in Self.never {
      #expect(try Self.answer(.keeper, call) == Self.refused, "\(call)")
    }
    // Numbers that nobody has, and those of the x32 variant.
    for call in [-1, 10_000, SYS_read | 0x4000_0000] as [Int32] {
      #expect(try Self.answer(.daemon, call) == Self.refused)
    }
  }

  @Test("calls by another architecture's numbers end the process") func foreign() throws {
    let other = try Self.answer(.daemon, SYS_read, architecture: 0x4000_0003)
    #expect(other == UInt32(SECCOMP_RET_KILL_PROCESS))
  }

  @Test("frames, clients and the runtime go on") func allowances() throws {
    for call in [
      SYS_readv, SYS_writev, SYS_epoll_pwait2, SYS_futex, SYS_accept, SYS_recvmsg, SYS_sendmsg, SYS_close,
      SYS_exit_group, SYS_rt_sigreturn, SYS_getrandom, SYS_clock_gettime, SYS_munmap, SYS_madvise, SYS_brk,
    ] {
      #expect(try Self.answer(.daemon, call) == Self.allowed, "\(call)")
    }
    #expect(try Self.answer(.keeper, SYS_unlinkat) == Self.allowed)
    #expect(try Self.answer(.keeper, SYS_ioctl) == Self.allowed)
  }

  @Test("clone: threads as pthread_create makes them; no process, no namespace") func threads() throws {
    // Beside the flags of a thread: _SYSVSEM, _SETTLS, _PARENT_SETTID, _CHILD_CLEARTID.
    let thread: UInt64 = 0x3D_0F00
    #expect(try Self.answer(.daemon, SYS_clone, [thread]) == Self.allowed)
    for flags in [
      0x11, 0x0120_0011, 0x4111, thread | 0x1000_0000, thread | 0x4000_0000, thread | 0x2_0000,
      thread | 0x4000,
      thread & ~0x1_0000, thread & ~0x400,
    ] {
      #expect(try Self.answer(.daemon, SYS_clone, [flags]) == Self.refused, "\(flags)")
    }
  }

  @Test("memory that can be run is refused") func executable() throws {
    for call in [SYS_mmap, SYS_mprotect] {
      #expect(try Self.answer(.daemon, call, [0, 4096, 3]) == Self.allowed)
      for protection in [4, 5, 7] as [UInt64] {
        #expect(try Self.answer(.daemon, call, [0, 4096, protection]) == Self.refused)
      }
    }
  }

  @Test("by argument: socket pairs, commands of fcntl, signals to this process, files by descriptor")
  func arguments() throws {
    let process = UInt64(getpid())
    let table: [(Int32, [UInt64], Bool)] = [
      (SYS_socketpair, [1], true), (SYS_socketpair, [2], false), (SYS_socketpair, [16], false),
      (SYS_fcntl, [3, UInt64(F_SETFL)], true), (SYS_fcntl, [3, UInt64(F_DUPFD_CLOEXEC)], true),
      (SYS_fcntl, [3, UInt64(F_SETOWN)], false), (SYS_fcntl, [3, 10], false),
      (SYS_tgkill, [process], true), (SYS_tgkill, [process + 1], false), (SYS_tgkill, [1], false),
      (SYS_newfstatat, [3, 0, 0, 0x1000], true), (SYS_newfstatat, [0xFFFF_FF9C, 0, 0, 0], false),
      (SYS_newfstatat, [0xFFFF_FF9C, 0, 0, 0x100], false),
    ]
    for (call, arguments, passes) in table {
      let answer = try Self.answer(.daemon, call, arguments)
      #expect(answer == (passes ? Self.allowed : Self.refused), "\(call) \(arguments)")
    }
    #expect(try Self.answer(.keeper, SYS_newfstatat, [0xFFFF_FF9C, 0, 0, 0x100]) == Self.allowed)
  }
}
