import Foundation
import Testing

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

  @Test("a live one is an error and stays as it is") func live() throws {
    let path = Self.path("live")
    defer { Self.removeFolder(of: path) }
    let first = try UnixListener(at: path)
    let error = #expect(throws: LinuxError.self) { _ = try UnixListener(at: path) }
    #expect(error?.code == EADDRINUSE)
    #expect(error?.description.contains("a stack is already running there") == true)
    let client = try UnixStream.connect(to: path)
    // The probe of the second listener came first and is gone; the client comes after it.
    let probe = try first.accept()
    let accepted = try first.accept()
    let isThere = probe != nil && accepted != nil
    #expect(isThere)
    _ = client
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
