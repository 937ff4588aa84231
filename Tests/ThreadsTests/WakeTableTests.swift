import Shard
import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// The table of waits and events, pair by pair: a call waits, the event comes, and the call returns what the table says, or
/// goes on waiting where it says nothing.
@Suite struct WakeTableTests {
  enum Style: String, CaseIterable, Sendable { case blocking, poll, suspending, pollSuspending }

  struct Pair: Sendable, CustomTestStringConvertible {
    var wait: Wait
    var event: WakeEvent
    var style: Style
    var testDescription: String { "\(wait) x \(event), \(style)" }
  }

  /// Events that can happen to a socket on which somebody waits so.
  static func events(for wait: Wait) -> [WakeEvent] {
    let everywhere: [WakeEvent] = [
      .close, .stackEnd, .linkGone, .timeout, .cancellation, .interruption,
    ]
    switch wait {
    case .read: return everywhere + [.data, .endOfStream, .failure, .shutdownRead, .shutdownWrite]
    case .write: return everywhere + [.data, .endOfStream, .failure, .space, .shutdownRead, .shutdownWrite]
    case .accept: return everywhere + [.connection, .shutdownRead, .shutdownWrite]
    case .connect: return everywhere + [.established, .failure, .shutdownRead, .shutdownWrite]
    case .errors: return everywhere + [.data, .failure, .queuedError]
    case .linger: return [.stackEnd, .linkGone, .timeout, .finAcknowledged, .failure, .interruption]
    }
  }

  static let pairs = Wait.allCases.flatMap { wait in
    events(for: wait).flatMap { event in
      Style.allCases.compactMap { style -> Pair? in
        let suspends = style == .suspending || style == .pollSuspending
        // close(2) blocks or does not; errors are waited for by poll only; threads are not cancelled.
        if wait == .linger && style != .blocking { return nil }
        if wait == .errors && (style == .blocking || style == .suspending) { return nil }
        if event == .cancellation && !suspends || event == .interruption && suspends { return nil }
        return Pair(wait: wait, event: event, style: style)
      }
    }
  }

  @Test("S7 every wait ends with its events and with no other", arguments: pairs)
  func ends(_ pair: Pair) async throws {
    let scene = try WakeScene(pair.wait, event: pair.event)
    let driver = Driver(scene.wire)
    let call = try scene.start(pair.style, hasTimeout: pair.event == .timeout)
    #expect(await driver.run(until: { scene.isWaiting || call.isDone }))
    try #require(!call.isDone, "the call did not wait: \(String(describing: call.result))")

    if pair.event == .cancellation { call.cancel() } else { try await scene.cause(pair.event) }
    let expected = pair.wait.outcome(of: pair.event)
    if expected == .none {
      await driver.run(steps: 300) { call.isDone }
      #expect(!call.isDone, "ended by \(pair.event): \(String(describing: call.result))")
      scene.socket.close()
      #expect(await driver.run(until: { call.isDone }))
      return
    }
    let isOver = await driver.run(until: {
      scene.readOn()
      return call.isDone
    })
    try #require(isOver, "\(pair.event) ended no wait")
    let result = try #require(call.result)
    let isPoll = pair.style == .poll || pair.style == .pollSuspending
    #expect(WakeScene.matches(result, expected, isPoll: isPoll), "\(result) instead of \(expected)")
  }
}

/// A socket on which a call can wait, and the ways to end that.
final class WakeScene {
  enum Ending: Sendable, Equatable {
    case bytes(Int)
    case done
    case ready(Readiness)
    case failed(Errno)
  }

  let wait: Wait
  let wire: SimulatedWire
  let socket: Socket
  private var server: Socket?
  private var others: [Socket] = []
  private var reads = false
  private static let port: UInt16 = 5000

  init(_ wait: Wait, event: WakeEvent) throws {
    self.wait = wait
    wire = try SimulatedWire(services: false)
    switch wait {
    case .accept:
      socket = try wire.left.stack.socket(.tcp)
      try socket.bind(to: SocketAddress(.any, port: Self.port))
      try socket.listen()
    case .connect:
      socket = try wire.left.stack.socket(.tcp)
      wire.leftToRight = .loss(1)
    case .errors where event == .queuedError:
      socket = try wire.left.stack.socket(.udp)
      // IP_RECVERR
      try socket.setsockopt(level: 0, name: 11, 1)
      // ARP first, so that what is sent later is on the wire at once.
      try socket.send([1], to: SocketAddress(SimulatedWire.rightAddress, port: 9))
      wire.run(for: .seconds(2)) { socket.readiness.contains(.error) }
      _ = socket.takeError()
      _ = try? socket.recvmsg(flags: [.errorQueue, .dontWait])
    default:
      let (client, server) = try wire.connect()
      socket = client
      self.server = server
      server.isNonBlocking = true
      if wait == .write { try fill() }
      if wait == .linger {
        wire.leftToRight = .loss(1)
        try client.send([1, 2, 3])
        try client.setLinger(.seconds(event == .timeout ? 1 : 3000))
      }
    }
    socket.isNonBlocking = false
  }

  /// Until neither end takes anything more.
  private func fill() throws {
    // SO_SNDBUF, SO_RCVBUF
    try socket.setsockopt(level: 1, name: 7, 32768)
    try server?.setsockopt(level: 1, name: 8, 32768)
    let piece = [UInt8](repeating: 7, count: 65536)
    repeat { wire.run(for: .milliseconds(500), until: { false }) } while (try? socket.send(piece)) != nil
  }

  var isWaiting: Bool { socket.isWaitedFor }

  func start(_ style: WakeTableTests.Style, hasTimeout: Bool) throws -> Call<Ending> {
    let (socket, wait) = (socket, wait)
    let timeout: Duration? = hasTimeout ? .milliseconds(50) : nil
    if hasTimeout {
      socket.receiveTimeout = timeout
      socket.sendTimeout = timeout
    }
    let isPoll = style == .poll || style == .pollSuspending
    if isPoll && wait == .connect {
      socket.isNonBlocking = true
      _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: Self.port))
      socket.isNonBlocking = false
    }
    let events = wait == .errors ? [] : wait.interest
    switch style {
    case .poll: return try Call(blocking: { .ready(socket.poll(events, timeout: timeout)) })
    case .pollSuspending:
      return Call {
        do throws(SocketError) {
          return .ready(try await socket.poll(events, timeout: timeout))
        } catch { return .failed(error.errno) }
      }
    case .blocking: return try Call(blocking: { Self.call(socket, wait) })
    case .suspending: return Call { await Self.suspendingCall(socket, wait) }
    }
  }

  private static func call(_ socket: Socket, _ wait: Wait) -> Ending {
    do throws(SocketError) {
      switch wait {
      case .read: return .bytes(try socket.receive(upTo: 10).count)
      case .write: return .bytes(try socket.send([1]))
      case .accept: _ = try socket.accept()
      case .connect: try socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: port))
      case .errors: break
      case .linger: socket.close()
      }
      return .done
    } catch { return .failed(error.errno) }
  }

  private static func suspendingCall(_ socket: Socket, _ wait: Wait) async -> Ending {
    do throws(SocketError) {
      switch wait {
      case .read: return .bytes(try await socket.receive(upTo: 10).count)
      case .write: return .bytes(try await socket.send([1]))
      case .accept: _ = try await socket.accept()
      case .connect: try await socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: port))
      case .errors, .linger: break
      }
      return .done
    } catch { return .failed(error.errno) }
  }

  /// The peer reads what comes, once `.space` has been asked for.
  func readOn() {
    guard reads, let server else { return }
    while let bytes = try? server.receive(upTo: 1 << 20), !bytes.isEmpty {}
  }

  func cause(_ event: WakeEvent) async throws {
    switch event {
    case .data: _ = try await server?.send([1, 2])
    case .endOfStream: try server?.shutdown(write: true)
    case .space: reads = true
    case .connection:
      let client = try wire.right.stack.socket(.tcp)
      client.isNonBlocking = true
      _ = try? await client.connect(to: SocketAddress(SimulatedWire.leftAddress, port: Self.port))
      others.append(client)
    case .established:
      let listener = try wire.right.stack.socket(.tcp)
      try listener.bind(to: SocketAddress(.any, port: Self.port))
      try listener.listen()
      others.append(listener)
      wire.leftToRight = WireFault()
    case .failure:
      // A reset: of the connection, or from a port where nobody listens.
      wire.leftToRight = WireFault()
      try server?.setLinger(.zero)
      server?.close()
    case .queuedError: _ = try await socket.send([1], to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    case .finAcknowledged: wire.leftToRight = WireFault()
    case .shutdownRead: try socket.shutdown(read: true)
    case .shutdownWrite: try socket.shutdown(write: true)
    case .close: socket.close()
    case .stackEnd: wire.left.stack.close()
    case .linkGone: wire.left.removeLink()
    case .interruption: socket.interrupt()
    case .timeout, .cancellation: break
    }
  }

  static func matches(_ ending: Ending, _ expected: WakeOutcome, isPoll: Bool) -> Bool {
    switch (ending, expected) {
    case (.ready(let ready), .failure(.EAGAIN)), (.ready(let ready), .failure(.EINTR)),
      (.ready(let ready), .failure(.EINPROGRESS)):
      ready.isEmpty
    case (.ready(let ready), _): isPoll && !ready.isEmpty
    case (.bytes(let count), .success): count > 0
    case (.done, .success): true
    case (.bytes(0), .endOfStream): true
    case (.failed(let error), .failure(let wanted)): error == wanted
    case (.failed(let error), .pendingError): error == .ECONNRESET || error == .ECONNREFUSED
    default: false
    }
  }
}
