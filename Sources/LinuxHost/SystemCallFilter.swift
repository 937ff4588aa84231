import CLinux
import Glibc

/// What a process may still ask of the kernel: a seccomp(2) program, built here and given to the kernel once.
///
/// A call that is not on the list fails with ENOSYS, as on a kernel that has no such call. It does not kill: the list is of one
/// version of the C library, and where a later one tries a newer call first it falls back on ENOSYS to the older; and a call that
/// fails on a rare path costs what that path wanted, not every connection of a running stack. What an intruder asks for fails
/// just as well. Calls by another architecture's numbers do kill: no code of this program makes them.
///
/// Linux: Documentation/userspace-api/seccomp_filter.rst
public struct SystemCallFilter: Sendable {
  /// When a call is let through. An argument is looked at in its low 32 bits: flags and commands that the kernel reads no
  /// further.
  enum Condition: Equatable, Sendable {
    case always
    /// Of the argument's bits in `mask` exactly these are set.
    case masked(argument: Int, mask: UInt32, equals: UInt32)
    case oneOf(argument: Int, [UInt32])
  }

  struct Rule: Equatable, Sendable {
    var call: Int32
    var condition: Condition
  }

  private(set) var rules: [Rule] = []

  init(_ rules: [Rule]) { self.rules = rules }

  /// `struct seccomp_data`: the number, the architecture, an address, six arguments of 64 bits; little-endian on both
  /// architectures.
  enum Offset {
    static let call: UInt32 = 0
    static let architecture: UInt32 = 4
    static func argument(_ index: Int) -> UInt32 { UInt32(16 + 8 * index) }
  }

  /// The program. Linux remembers by number which calls pass whatever their arguments (`seccomp_cache_prepare`), and runs it for the
  /// others alone.
  func instructions() -> [sock_filter] {
    let refuse = Self.answer(UInt32(SECCOMP_RET_ERRNO) | UInt32(ENOSYS))
    let allow = Self.answer(UInt32(SECCOMP_RET_ALLOW))
    var program = [
      Self.load(Offset.architecture), Self.jump(ifEqual: clinux_audit_architecture, else: 0, then: 1),
      Self.answer(UInt32(SECCOMP_RET_KILL_PROCESS)), Self.load(Offset.call),
    ]
    for rule in rules {
      var body: [sock_filter]
      switch rule.condition {
      case .always: body = [allow]
      case .masked(let argument, let mask, let value):
        body = [
          Self.load(Offset.argument(argument)), Self.and(mask), Self.jump(ifEqual: value, else: 1), allow,
          refuse,
        ]
      case .oneOf(let argument, let values):
        body = [Self.load(Offset.argument(argument))]
        for value in values { body += [Self.jump(ifEqual: value, else: 1), allow] }
        body.append(refuse)
      }
      program.append(Self.jump(ifEqual: UInt32(bitPattern: rule.call), else: UInt8(body.count)))
      program += body
    }
    return program + [refuse]
  }

  private static func load(_ offset: UInt32) -> sock_filter {
    sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: offset)
  }
  private static func and(_ mask: UInt32) -> sock_filter {
    sock_filter(code: UInt16(BPF_ALU | BPF_AND | BPF_K), jt: 0, jf: 0, k: mask)
  }
  private static func jump(ifEqual value: UInt32, else skipped: UInt8, then other: UInt8 = 0) -> sock_filter {
    sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: other, jf: skipped, k: value)
  }
  private static func answer(_ action: UInt32) -> sock_filter {
    sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: action)
  }

  /// For every thread of the process, and for good. It takes `no_new_privs`, which `Privileges.drop` sets.
  public func install() throws(LinuxError) {
    let program = instructions()
    let result = unsafe program.withUnsafeBufferPointer {
      // Safe: pointer and count are the array's; the kernel copies the program.
      unsafe clinux_filter_system_calls($0.baseAddress!, UInt16($0.count))
    }
    guard result == 0 else {
      throw .last(
        "filter the system calls of", "this process",
        advice: "A kernel without CONFIG_SECCOMP_FILTER cannot: --seccomp off goes without.")
    }
  }
}
