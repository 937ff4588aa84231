import Foundation
import Glibc
import LinuxHost
import NetNamespace
import Testing
import Timers

@testable import Control
@testable import Daemon
@testable import SwiftStack

/// How things end for those who are in the middle of something.
@Suite struct ControlEndTests {
  private static func endpoint(_ name: String) -> ControlEndpoint {
    ControlEndpoint(
      interface: "sim0", namespace: 1,
      path: NSTemporaryDirectory() + "swiftstack-end-\(getpid())-\(name)/s.sock")
  }
  private static func remove(_ endpoint: ControlEndpoint) {
    try? FileManager.default.removeItem(
      atPath: (endpoint.path as NSString).deletingLastPathComponent)
  }
  private static func drop(_ listener: consuming UnixListener) {}
  private static func drop(_ stream: consuming UnixStream) {}

  @Test(
    "down: a stack that ends before it has answered is as good as one that agrees", arguments: [false, true])
  func endsFirst(isTaken: Bool) throws {
    let endpoint = Self.endpoint("first-\(isTaken)")
    defer { Self.remove(endpoint) }
    let listener = try UnixListener(at: endpoint.path)
    var client = try ControlClient(endpoint, patience: .seconds(60))
    // Whether it ends with the client in its queue or in its hands.
    if isTaken {
      guard let stream = try listener.accept() else { throw ControlError("nobody came") }
      Self.drop(stream)
    }
    Self.drop(listener)
    try client.stop()
  }

  @Test("down: a stack that reads the request, hangs up without an answer and is gone has ended")
  func endsAfterReading()
    throws
  {
    let endpoint = Self.endpoint("read")
    defer { Self.remove(endpoint) }
    let listener = try UnixListener(at: endpoint.path)
    var client = try ControlClient(endpoint, patience: .seconds(60))
    guard let stream = try listener.accept() else { throw ControlError("nobody came") }
    Self.drop(listener)
    // It takes the request and says nothing: an end of file for the client, and no error of the socket.
    #expect(shutdown(stream.descriptor.rawValue, Int32(SHUT_WR)) == 0)
    try client.stop()
  }

  @Test("down: a stack that hangs up and lives on is an error") func hangsUp() throws {
    let endpoint = Self.endpoint("lives")
    defer { Self.remove(endpoint) }
    let listener = try UnixListener(at: endpoint.path)
    var client = try ControlClient(endpoint, patience: .milliseconds(30))
    guard let stream = try listener.accept() else { throw ControlError("nobody came") }
    Self.drop(stream)
    #expect(throws: (any Error).self) { try client.stop() }
    #expect(FileManager.default.fileExists(atPath: endpoint.path))
    Self.drop(listener)
  }

  @Test("the stack ends: who has a connection through nc hears that the network is down") func bridge() throws
  {
    let simulated = try SimulatedStack()
    let stack = simulated.stack
    let listener = try stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 7000))
    try listener.listen()
    let socket = try stack.socket(.tcp)
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 7000))
    let child = try listener.accept()
    let (ours, theirs) = try OwnedDescriptor.socketPair().apart()
    let descriptor = OwnedDescriptor(owning: ours)
    try descriptor.setNonBlocking()
    let client = UnixStream(OwnedDescriptor(owning: theirs))
    let bridge = Bridge(socket.surrender(), to: descriptor, isDatagram: false, waiter: SocketWaiter())
    _ = stack.shards[0].start(bridge)
    #expect(bridge.outcome == nil)
    stack.close()
    guard case .failed(.ENETDOWN) = bridge.outcome else {
      Issue.record("\(String(describing: bridge.outcome))")
      return
    }
    // And its end of file.
    #expect(OwnedDescriptor.isReady(client.descriptor.rawValue, POLLIN, milliseconds: 0))
    child.close()
  }
}
