import FuzzSupport
import SwiftStack

/// The whole receive path: frames into a simulated stack with its services, a listener that accepts, a connection out,
/// a UDP and a ping socket, in virtual time. Whatever arrives, the stack neither traps nor grows, and it still answers.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReceive(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe FuzzInput.bytes(start, count)
  do {
    try StackUnderFire().run(FrameScript(input))
  } catch {
    preconditionFailure("The stack could not be set up: \(error)")
  }
  return 0
}

private final class StackUnderFire {
  static let macBytes: [UInt8] = [2, 0, 0, 0, 0, 2]
  static let peerMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
  static let address: [UInt8] = [10, 0, 0, 2]

  private let wire: SimulatedStack
  private var tracker = SequenceTracker()
  private let listener: Socket
  private let caller: Socket
  private let datagrams: Socket
  private var accepted: [Socket] = []

  init() throws {
    var configuration = StackConfiguration(
      name: "fuzz0", address: IPv4Prefix("10.0.0.2/24")!, macAddress: MACAddress("02:00:00:00:00:02")!,
      ring: 64)
    configuration.services = true
    configuration.packetMemory = 16 << 20
    wire = try SimulatedStack(configuration, now: Instant(nanoseconds: 1_000_000_000))
    listener = try wire.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 80))
    try listener.listen(backlog: 4)
    datagrams = try wire.stack.socket(.udp)
    try datagrams.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 53))
    caller = try wire.stack.socket(.tcp)
    caller.isNonBlocking = true
    listener.isNonBlocking = true
    datagrams.isNonBlocking = true
    // A peer that is known from the start, so that answers go out.
    receive(Self.gratuitousARP)
    try? caller.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7777))
    collect()
  }

  func run(_ script: FrameScript) throws {
    for var step in script {
      if step.fixesAddresses {
        FrameRepair.fixAddresses(&step.frame, mac: Self.macBytes, address: Self.address)
      }
      if step.fixesNumbers { tracker.fix(&step.frame) }
      if step.fixesChecksums { FrameRepair.fixChecksums(&step.frame) }
      if step.milliseconds > 0 {
        wire.advance(to: Instant(nanoseconds: wire.now.nanoseconds &+ step.milliseconds &* 1_000_000))
        collect()
      }
      receive(step.frame)
      useSockets()
      collect()
    }
    checkThatItAnswers()
    for socket in accepted + [listener, caller, datagrams] { socket.close() }
    wire.advance(to: Instant(nanoseconds: wire.now.nanoseconds &+ 200_000_000_000))
    collect()
    wire.stack.close()
  }

  private func receive(_ frame: [UInt8]) { wire.receive(frame) }

  private func collect() {
    for frame in wire.takeFrames() {
      precondition(frame.bytes.count <= 1514, "No frame is longer than the link carries.")
      tracker.note(frame.bytes)
    }
    precondition(wire.buffersInUse < 20_000, "Packets do not pile up.")
  }

  /// What programs do with sockets that become ready.
  private func useSockets() {
    if accepted.count < 8, let connection = try? listener.accept() { accepted.append(connection) }
    for connection in accepted {
      guard let bytes = try? connection.receive(upTo: 4096), !bytes.isEmpty else { continue }
      _ = try? connection.send(bytes)
    }
    _ = try? caller.receive(upTo: 4096)
    _ = try? datagrams.receive(upTo: 65_536)
  }

  /// An ARP request is answered, whatever came before. (Its sender is new each time, so no limit is in the way.)
  private func checkThatItAnswers() {
    wire.advance(to: Instant(nanoseconds: wire.now.nanoseconds &+ 2_000_000_000))
    collect()
    receive(Self.arpRequest)
    let answers = wire.takeFrames()
    precondition(
      answers.contains {
        $0.bytes.count >= 42 && $0.bytes[12...13].elementsEqual([8, 6]) && $0.bytes[21] == 2
      },
      "The stack answers ARP whatever it has been through.")
  }

  static let gratuitousARP: [UInt8] =
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + peerMAC + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + peerMAC + [10, 0, 0, 1]
    + [0, 0, 0, 0, 0, 0] + [10, 0, 0, 2]
  static let arpRequest: [UInt8] =
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9]
    + [10, 0, 0, 200] + [0, 0, 0, 0, 0, 0] + [10, 0, 0, 2]
}
