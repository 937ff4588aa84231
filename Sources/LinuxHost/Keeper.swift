import CLinux
import Glibc

/// A process beside this one that puts back at its end what this one no longer may: files in folders of root's, an interface's
/// settings. It listens to nobody and reads nothing but one byte of this process; it acts when that comes, or when this process
/// has ended in whatever way.
public struct Keeper: ~Copyable, Sendable {
  private static let readyMark = UInt8(ascii: "R")
  private static let endMark = UInt8(ascii: "E")

  private let link: OwnedDescriptor

  /// Starts it. For a process of one thread: a fork has none of the others.
  ///
  /// - Parameters:
  ///   - descriptors: what it needs of this process's; the others are closed in it.
  ///   - prepare: what it does first: gives up what it can do without. What that throws, this throws.
  ///   - putBack: what it is there for.
  public static func start(
    keeping descriptors: [Int32], prepare: () throws -> Void, putBack: () -> Void
  ) throws -> Keeper {
    let (ours, theirs) = try OwnedDescriptor.socketPair().apart()
    let link = OwnedDescriptor(owning: ours)
    let far = OwnedDescriptor(owning: theirs)
    let number = clinux_pidfd_open(getpid())
    guard number >= 0 else { throw LinuxError.last("watch", "this process") }
    let this = OwnedDescriptor(owning: number)
    // Nobody waits for it as for a child: it leaves no zombie.
    guard clinux_ignore_signal(SIGCHLD) == 0 else { throw LinuxError.last("ignore", "SIGCHLD") }
    let child = clinux_fork()
    guard child >= 0 else { throw LinuxError.last("start", "the process that cleans up") }
    if child == 0 {
      serve(far.rawValue, this.rawValue, descriptors, prepare: prepare, putBack: putBack)
    }
    return try Keeper(link, afterClosing: far)
  }

  private init(_ link: consuming OwnedDescriptor, afterClosing far: consuming OwnedDescriptor) throws {
    // Ours goes first, or the end of the other's would never come.
    Self.close(far)
    let answer = try link.read(upTo: 4096, subject: "the process that cleans up")
    guard answer.first == Self.readyMark else {
      let reason = answer.isEmpty ? "it ended" : String(decoding: answer, as: UTF8.self)
      throw LinuxError(ECHILD, "start", "the process that cleans up", reason: reason)
    }
    self.link = link
  }

  private static func close(_ descriptor: consuming OwnedDescriptor) {}

  /// Has everything put back, and waits until that is done. All that this process holds of it is closed before.
  public consuming func finish() {
    let end = [Self.endMark]
    _ = link.write(end.rawBytes)
    // One that was killed says nothing, and its end of the link is closed.
    _ = try? link.read(upTo: 1, subject: "the process that cleans up")
  }

  // MARK: The process that cleans up

  private static func serve(
    _ link: Int32, _ owner: Int32, _ descriptors: [Int32], prepare: () throws -> Void, putBack: () -> Void
  ) -> Never {
    let link = OwnedDescriptor(owning: link)
    let owner = OwnedDescriptor(owning: owner)
    do {
      try leaveTerminal()
      closeAll(but: descriptors + [link.rawValue, owner.rawValue])
      try prepare()
    } catch {
      let reason = Array("\(error)".utf8)
      _ = link.write(reason.rawBytes)
      _exit(1)
    }
    let ready = [readyMark]
    _ = link.write(ready.rawBytes)
    let word = (try? link.read(upTo: 1, subject: "")) ?? []
    if word.isEmpty {
      // Ended without a word: when all of it is gone, the interface's queues too. Linux: a pidfd is readable then.
      _ = try? owner.waitUntilReady(POLLIN, subject: "")
    }
    putBack()
    let done = [endMark]
    _ = link.write(done.rawBytes)
    _exit(0)
  }

  /// No terminal, pipe or folder is kept for the process's whole life. Its signals are blocked already: who ends the stack by
  /// Ctrl-C sends them to both.
  private static func leaveTerminal() throws(LinuxError) {
    let null = try OwnedDescriptor.open("/dev/null", flags: O_RDWR)
    for number in 0...2 as ClosedRange<Int32> where dup2(null.rawValue, number) < 0 {
      throw .last("redirect", "standard streams")
    }
    _ = unsafe chdir("/")
    _ = unsafe clinux_name_process("swiftstack-end")
  }

  private static func closeAll(but kept: [Int32]) {
    var next: UInt32 = 3
    for number in Set(kept).sorted() where number >= 3 {
      if UInt32(number) > next { _ = clinux_close_range(next, UInt32(number) - 1) }
      next = UInt32(number) + 1
    }
    _ = clinux_close_range(next, .max)
  }
}
