import Foundation
import Synchronization
import Testing
import Timers

@testable import LinuxHost

@Suite("Control socket") struct UnixSocketTests {
  /// A path of this test's own, in a folder that does not exist yet.
  static func path(_ name: String) -> String {
    NSTemporaryDirectory() + "swiftstack-test-\(getpid())-\(name)/s.sock"
  }
  static func removeFolder(of path: String) {
    try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent)
  }

  @Test("is for the owner only and goes away with the listener") func modeAndRemoval() throws {
    let path = Self.path("mode")
    defer { Self.removeFolder(of: path) }
    do {
      let listener = try UnixListener(at: path)
      let attributes = try FileManager.default.attributesOfItem(atPath: listener.path)
      #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("can be somebody else's, and a group's", .enabled(if: geteuid() == 0)) func access() throws {
    let path = Self.path("access")
    defer { Self.removeFolder(of: path) }
    let listener = try UnixListener(
      at: path, access: UnixSocketAccess(user: 1234, group: 4321, mode: 0o660))
    let attributes = try FileManager.default.attributesOfItem(atPath: listener.path)
    #expect(attributes[.posixPermissions] as? Int == 0o660)
    #expect(attributes[.ownerAccountID] as? Int == 1234 && attributes[.groupOwnerAccountID] as? Int == 4321)
  }

  @Test("left to another process, the path stays until that removes it") func left() throws {
    let path = Self.path("left")
    defer { Self.removeFolder(of: path) }
    do {
      var listener = try UnixListener(at: path)
      listener.leavePath()
    }
    #expect(FileManager.default.fileExists(atPath: path))
    #expect(FileManager.default.fileExists(atPath: path + ".lock"))
    let listener = try UnixListener(at: path)
    listener.removePath()
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(!FileManager.default.fileExists(atPath: path + ".lock"))
    #expect(listener.lockDescriptor > 2)
  }

  @Test("a live one is an error and stays as it is") func live() throws {
    let path = Self.path("live")
    defer { Self.removeFolder(of: path) }
    let first = try UnixListener(at: path)
    let error = #expect(throws: LinuxError.self) { _ = try UnixListener(at: path) }
    #expect(error?.code == EADDRINUSE)
    #expect(error?.description.contains("a stack is already running there") == true)
    let client = try UnixStream.connect(to: path)
    let accepted = try first.accept()
    let isThere = accepted != nil
    #expect(isThere)
    _ = client
  }

  @Test("one that is starting is not taken for a stale one") func starting() throws {
    let path = Self.path("starting")
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { Self.removeFolder(of: path) }
    // Bound and not yet listening: connect(2) is refused, as by a socket that nobody has any more.
    guard let starting = try LockFile.take(path + ".lock") else {
      Issue.record("a new lock is free")
      return
    }
    let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let owner = OwnedDescriptor(owning: number)
    let address = try UnixSocketPath(path, for: "test")
    #expect(unsafe address.withSocketAddress { unsafe bind(number, $0, $1) } == 0)
    let before = FileIdentity(ofFileAt: path)
    let error = #expect(throws: LinuxError.self) { _ = try UnixListener(at: path) }
    #expect(error?.code == EADDRINUSE && error?.description.contains("already running") == true)
    #expect(before != nil && FileIdentity(ofFileAt: path) == before)
    _ = owner.rawValue
    _ = starting.path
  }

  @Test("of many that start at once one gets the path, and the others' end leaves it") func race() throws {
    let path = Self.path("race")
    defer { Self.removeFolder(of: path) }
    for _ in 0..<50 {
      let listeners = Mutex<[Int]>([])
      DispatchQueue.concurrentPerform(iterations: 4) { number in
        guard let listener = try? UnixListener(at: path) else { return }
        listeners.withLock { $0.append(number) }
        // While it lives it is the one that answers.
        if (try? UnixStream.connect(to: path)) == nil { listeners.withLock { $0.append(-1) } }
        _ = listener.path
      }
      let got = listeners.withLock { $0 }
      #expect(!got.isEmpty && !got.contains(-1))
      #expect(!FileManager.default.fileExists(atPath: path))
      #expect(!FileManager.default.fileExists(atPath: path + ".lock"))
    }
  }

  @Test("a lock on a file that was removed, or replaced, meanwhile is none") func removedLock() throws {
    let path = Self.path("removed") + ".lock"
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    defer { Self.removeFolder(of: path) }
    let descriptor = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
    var isHeld = LockFile.means(path, descriptor)
    #expect(isHeld)
    try FileManager.default.removeItem(atPath: path)
    isHeld = LockFile.means(path, descriptor)
    #expect(!isHeld)
    let other = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
    isHeld = LockFile.means(path, descriptor)
    #expect(!isHeld)
    isHeld = LockFile.means(path, other)
    #expect(isHeld)
  }

  @Test("a lock is one holder's, and free when it goes") func lock() throws {
    let path = Self.path("lock") + ".lock"
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    defer { Self.removeFolder(of: path) }
    do {
      guard let first = try LockFile.take(path) else {
        Issue.record("a new lock is free")
        return
      }
      let second = try LockFile.take(path)
      let isTaken = second == nil
      #expect(isTaken)
      _ = first.path
    }
    let isGone = !FileManager.default.fileExists(atPath: path)
    #expect(isGone)
    let again = try LockFile.take(path)
    let isFree = again != nil
    #expect(isFree)
  }

  @Test("a peer that talks without being listened to costs one message's room") func talker() throws {
    let pair = try UnixStream.pair()
    try pair.first.descriptor.setNonBlocking()
    try pair.second.descriptor.setNonBlocking()
    var channel = MessageChannel(pair.second, messageLimit: 50_000)
    let lines = [UInt8](repeating: 0x0A, count: 4096)
    var taken = 0
    for _ in 0..<1000 {
      _ = pair.first.descriptor.write(lines.rawBytes)
      if case .bytes(let count) = channel.fill() { taken += count }
    }
    #expect(taken <= 50_000 + 16384 && taken > 50_000 && !channel.hasRoom)
    // What was taken is not lost.
    var messages = 0
    while channel.next() != nil { messages += 1 }
    #expect(messages == taken && channel.hasRoom)
    #expect(channel.fill() != .wouldBlock)
  }

  @Test("waiting for a message ends at its deadline with ETIMEDOUT, on a blocking stream too") func deadline()
    throws
  {
    let pair = try UnixStream.pair()
    var channel = MessageChannel(pair.first)
    let start = MonotonicClock.now()
    let error = #expect(throws: LinuxError.self) { try channel.receive(until: start + .milliseconds(3)) }
    #expect(error?.code == ETIMEDOUT && MonotonicClock.now() - start >= .milliseconds(3))
    var other = MessageChannel(pair.second)
    try other.send(Array("late".utf8))
    #expect(try channel.receive(until: MonotonicClock.now() + .seconds(60)) == .message(Array("late".utf8)))
    other.shutdownWriting()
    #expect(try channel.receive(until: MonotonicClock.now() + .seconds(60)) == nil)
  }

  @Test("a listener whose queue of clients is full: EAGAIN, in words") func fullBacklog() throws {
    let path = Self.path("backlog")
    defer { Self.removeFolder(of: path) }
    let listener = try UnixListener(at: path, backlog: 1)
    var numbers: [Int32] = []
    defer { for number in numbers { close(number) } }
    // The kernel takes one more than the backlog.
    for _ in 0..<2 { numbers.append(try UnixStream.connect(to: path).takeDescriptor().release()) }
    let error = #expect(throws: LinuxError.self) {
      _ = try UnixStream.connect(to: path, patience: .milliseconds(2))
    }
    #expect(error?.code == EAGAIN && error?.description.contains("takes no clients") == true)
    _ = listener.path
  }

  @Test("a stale one is replaced") func stale() throws {
    let path = Self.path("stale")
    defer { Self.removeFolder(of: path) }
    // A listener whose file is moved away and back does not remove it: what a killed daemon leaves.
    do {
      let listener = try UnixListener(at: path)
      try FileManager.default.moveItem(atPath: listener.path, toPath: path + ".kept")
    }
    try FileManager.default.moveItem(atPath: path + ".kept", toPath: path)
    let listener = try UnixListener(at: path)
    let client = try UnixStream.connect(to: listener.path)
    let credentials = try client.peerCredentials()
    #expect(
      credentials.processID == getpid() && credentials.userID == getuid() && credentials.groupID == getgid())
  }

  @Test("a file that is no socket is not touched") func foreignFile() throws {
    let path = Self.path("file")
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { Self.removeFolder(of: path) }
    try Data("keep".utf8).write(to: URL(fileURLWithPath: path))
    // connect(2) on a plain file is ECONNREFUSED, the same as on a stale socket.
    #expect(throws: LinuxError.self) { _ = try UnixListener(at: path) }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "keep")
  }

  @Test("nobody there: the client is told how to start one") func nobody() {
    let error = #expect(throws: LinuxError.self) {
      _ = try UnixStream.connect(to: "/run/no-such-folder/x.sock")
    }
    #expect(error?.description.contains("no stack is running there. Start one with \"swiftstack up") == true)
  }

  @Test("a path of 108 bytes is refused, not cut") func longPath() {
    let error = #expect(throws: LinuxError.self) {
      _ = try UnixStream.connect(to: "/" + String(repeating: "x", count: 107))
    }
    #expect(error?.code == ENAMETOOLONG)
  }

  @Test("messages go both ways") func messages() throws {
    let pair = try UnixStream.pair()
    var left = MessageChannel(pair.first)
    var right = MessageChannel(pair.second)
    try left.send(Array("hello".utf8))
    try left.send([])
    #expect(try right.receive() == .message(Array("hello".utf8)))
    #expect(try right.receive() == .message([]))
    try right.send(Array("answer".utf8))
    #expect(try left.receive() == .message(Array("answer".utf8)))
    left.close()
    #expect(try right.receive() == nil)
  }

  @Test("a passed descriptor arrives with its message, in order, and works") func descriptor() throws {
    let pair = try UnixStream.pair()
    var left = MessageChannel(pair.first)
    var right = MessageChannel(pair.second)
    let firstPipe = try OwnedDescriptor.pipe()
    let secondPipe = try OwnedDescriptor.pipe()
    let queued = [
      left.enqueue(Array("plain".utf8)),
      left.enqueue(Array("first".utf8), passing: try firstPipe.second.duplicate()),
      left.enqueue(Array("second".utf8), passing: try secondPipe.second.duplicate()),
      left.enqueue(Array("end".utf8)),
    ]
    #expect(queued == [true, true, true, true])
    #expect(left.flush() == .bytes(0))
    for (expected, mark) in [("plain", 0), ("first", 1), ("second", 2), ("end", 0)] as [(String, UInt8)] {
      #expect(try right.receive() == .message(Array(expected.utf8)))
      if mark > 0 {
        guard let passed = right.takePassed() else {
          Issue.record("no descriptor came with \(expected)")
          return
        }
        let bytes = [mark]
        try passed.writeAll(bytes.rawBytes, subject: "the passed pipe")
      }
    }
    let none = right.takePassed()
    let isNone = none == nil
    #expect(isNone)
    #expect(try firstPipe.first.read(upTo: 8, subject: "the pipe") == [1])
    #expect(try secondPipe.first.read(upTo: 8, subject: "the pipe") == [2])
  }

  @Test("a peer that does not read costs no more than the limit") func slowReader() throws {
    let pair = try UnixStream.pair()
    try pair.first.descriptor.setNonBlocking()
    var channel = MessageChannel(pair.first, outgoingLimit: 100_000)
    let message = [UInt8](repeating: 0x61, count: 999)
    var taken = 0
    while channel.enqueue(message) {
      taken += 1
      if case .error(let code) = channel.flush() { throw LinuxError(code, "flush", "") }
    }
    #expect(channel.outgoingByteCount <= 100_000)
    // What was taken arrives whole once the peer reads.
    var reader = MessageChannel(pair.second)
    for _ in 0..<taken {
      #expect(try reader.receive() == .message(message))
      if channel.outgoingByteCount > 0 { _ = channel.flush() }
    }
  }

  @Test("writing to a closed peer is EPIPE, not a signal") func brokenPipe() throws {
    let pair = try UnixStream.pair()
    MessageChannel(pair.second).close()
    var channel = MessageChannel(pair.first)
    let error = #expect(throws: LinuxError.self) { try channel.send(Array("x".utf8)) }
    #expect(error?.code == EPIPE)
  }
}
