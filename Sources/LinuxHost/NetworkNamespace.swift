import CLinux
import Glibc

/// A network namespace, kept alive by an open descriptor even if its name goes away.
public struct NetworkNamespace: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor
  /// How it was opened, for messages: its name, `pid 12`, `this one`.
  public let subject: String

  /// A namespace made by `ip netns add NAME`: /run/netns/NAME.
  public init(named name: String) throws(LinuxError) {
    let operation = "open the network namespace"
    guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(0x2F), !name.utf8.contains(0) else {
      throw LinuxError(EINVAL, operation, "\"\(name)\"", reason: "that cannot be a namespace's name")
    }
    do {
      descriptor = try OwnedDescriptor.open("/run/netns/\(name)", flags: O_RDONLY)
    } catch {
      if error.code == ENOENT {
        throw LinuxError(
          ENOENT, operation, "\"\(name)\"", reason: "there is no namespace of that name",
          advice: "\"ip netns list\" shows the names, \"ip netns add \(name)\" makes one.")
      }
      throw LinuxError(error.code, operation, "\"\(name)\"")
    }
    subject = name
  }

  /// The namespace a process is in.
  public init(ofProcess pid: Int32) throws(LinuxError) {
    do {
      descriptor = try OwnedDescriptor.open("/proc/\(pid)/ns/net", flags: O_RDONLY)
    } catch {
      let reason: String? = error.code == ENOENT ? "there is no process \(pid)" : nil
      throw LinuxError(error.code, "open the network namespace of", "process \(pid)", reason: reason)
    }
    subject = "pid \(pid)"
  }

  private init(_ descriptor: consuming OwnedDescriptor, _ subject: String) {
    self.descriptor = descriptor
    self.subject = subject
  }

  /// The calling thread's namespace.
  public static func current() throws(LinuxError) -> NetworkNamespace {
    NetworkNamespace(try OwnedDescriptor.open("/proc/thread-self/ns/net", flags: O_RDONLY), "this one")
  }

  /// A new, empty namespace without a name. It lives as long as something holds it open.
  package static func anonymous() throws(LinuxError) -> NetworkNamespace {
    let home = try current()
    guard clinux_unshare(clinux_new_network_namespace) == 0 else {
      throw .last("make", "a network namespace", advice: "It takes CAP_SYS_ADMIN: run as root.")
    }
    defer { home.enterForGood() }
    return NetworkNamespace(
      try OwnedDescriptor.open("/proc/thread-self/ns/net", flags: O_RDONLY), "an unnamed namespace")
  }

  /// The number that `ip netns identify`, lsns(8) and /proc/PID/ns/net know it by; no two living namespaces share one.
  public var identifier: UInt64 { FileIdentity(of: descriptor)?.inode ?? 0 }

  /// Runs `body` with the calling thread inside this namespace. Sockets and TAPs made inside stay
  /// there and are used from anywhere. Only the calling thread moves, and it is back on return.
  public func run<R: ~Copyable>(_ body: () throws(LinuxError) -> R) throws(LinuxError) -> R {
    let home = try NetworkNamespace.current()
    guard clinux_set_namespace(descriptor.rawValue, clinux_new_network_namespace) == 0 else {
      throw .last(
        "enter the network namespace", subject,
        advice: errno == EPERM ? "It takes CAP_SYS_ADMIN: run as root." : nil)
    }
    defer { home.enterForGood() }
    return try body()
  }

  private func enterForGood() {
    let result = clinux_set_namespace(descriptor.rawValue, clinux_new_network_namespace)
    precondition(result == 0, "A thread could not go back to the network namespace it came from.")
  }
}
