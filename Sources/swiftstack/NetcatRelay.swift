import Control
import Glibc
import LinuxHost
import SwiftStack
import Synchronization

/// Moves bytes between the standard streams and the stack's socket: one thread for each direction, so that neither
/// waits for the other.
final class NetcatRelay: Sendable {
  private let socket: OwnedDescriptor
  private let isUDP: Bool
  private let idleSeconds: Double?
  /// When a byte last moved, nanoseconds on the monotonic clock.
  private let lastActivity = Atomic<UInt64>(0)
  private let inputEnded = Atomic<Bool>(false)
  private static let pieceByteCount = 65536

  init(socket: consuming OwnedDescriptor, isUDP: Bool, idleSeconds: Double?) {
    self.socket = socket
    self.isUDP = isUDP
    self.idleSeconds = idleSeconds
  }

  /// Relays until both directions have ended, and reports how the stack's side ended.
  func run(control: inout ControlClient) throws {
    touch()
    let relay = self
    try StackThread.start { relay.copyInput() }
    if try copyOutput(control: &control) { return }
    // The peer has sent everything; the stack says when our half is through as well, or what went wrong.
    let end = try control.receive()
    guard case .done = end else { throw ControlError.unexpected("nc") }
  }

  private func touch() { lastActivity.store(MonotonicClock.now().nanoseconds, ordering: .relaxed) }

  /// Standard input to the socket; at its end the stack sends FIN.
  private func copyInput() {
    let input = OwnedDescriptor(owning: 0)
    while let bytes = try? input.read(upTo: isUDP ? 65507 : Self.pieceByteCount, subject: "standard input") {
      if bytes.isEmpty { break }
      touch()
      // Safe: a byte has no padding.
      do { try socket.writeAll(unsafe bytes.span.bytes, subject: "the socket") } catch { break }
    }
    _ = input.release()
    inputEnded.store(true, ordering: .relaxed)
    // A datagram conversation has no end to announce; the reply may still be under way.
    if !isUDP { _ = shutdown(socket.rawValue, Int32(SHUT_WR)) }
  }

  /// The socket to standard output, until the peer's FIN. Returns true when silence ended the conversation.
  private func copyOutput(control: inout ControlClient) throws -> Bool {
    while true {
      guard try socket.waitUntilReady(POLLIN, milliseconds: 100, subject: "the socket") else {
        if let idleSeconds, secondsSinceActivity > idleSeconds { return true }
        continue
      }
      let bytes = try socket.read(upTo: Self.pieceByteCount, subject: "the socket")
      if bytes.isEmpty && !isUDP { return false }
      if bytes.isEmpty, let end = try control.receiveIfReady(milliseconds: 0) {
        guard case .done = end else { throw ControlError.unexpected("nc") }
        return true
      }
      touch()
      if try !isOutputTaking(bytes) { return true }
    }
  }

  /// False when whoever reads our standard output has gone: nothing is left to do, and that is no error.
  private func isOutputTaking(_ bytes: [UInt8]) throws(LinuxError) -> Bool {
    do {
      try StandardStreams.write(bytes, to: 1)
      return true
    } catch {
      if error.code == EPIPE { return false }
      throw error
    }
  }

  private var secondsSinceActivity: Double {
    let last = Instant(nanoseconds: lastActivity.load(ordering: .relaxed))
    return Double((MonotonicClock.now() - last).rawValue) / 1e9
  }
}
