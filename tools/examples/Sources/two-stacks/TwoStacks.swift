// two-stacks [BYTES [FILE.pcapng]]
//
// Two stacks on one simulated wire, in virtual time: bytes go over a path of 20 ms that loses 1 % of the frames, and come
// out whole. Nothing is waited for: the clock jumps to whatever is due next. FILE gets what the sender's packet tap saw.

import Foundation
import SwiftStack

/// Two stacks with a cable between them.
final class Network {
  let left: SimulatedStack
  let right: SimulatedStack

  init() throws {
    left = try SimulatedStack(StackConfiguration(name: "left", address: IPv4Prefix("10.0.0.1/24")!), seed: 1)
    right = try SimulatedStack(
      StackConfiguration(name: "right", address: IPv4Prefix("10.0.0.2/24")!), seed: 2)
    for end in [left, right] {
      try end.stack.setQdisc(QdiscConfiguration(parsing: ["netem", "delay", "10ms", "loss", "1%"]))
    }
  }

  /// Carries frames until none is under way, then moves both clocks to what is due next. False when nothing is.
  func step() -> Bool {
    while true {
      let toRight = left.takeFrames()
      let toLeft = right.takeFrames()
      if toRight.isEmpty && toLeft.isEmpty { break }
      for frame in toRight { right.receive(frame) }
      for frame in toLeft { left.receive(frame) }
    }
    guard let next = [left.nextDeadline, right.nextDeadline].compactMap({ $0 }).min() else { return false }
    left.advance(to: next)
    right.advance(to: next)
    return true
  }
}

/// One end of a connection, which takes what there is and never waits.
final class Receiver {
  private let listener: Socket
  private var connection: Socket?
  private(set) var bytes: [UInt8] = []
  private(set) var isDone = false

  init(_ stack: Stack, port: UInt16) throws {
    listener = try stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: port))
    try listener.listen()
  }

  func run() throws {
    if connection == nil, listener.readiness.contains(.readable) {
      connection = try listener.accept()
      connection?.isNonBlocking = true
    }
    while !isDone, let connection, connection.readiness.contains(.readable) {
      let part = try connection.receive(upTo: 65536)
      bytes += part
      isDone = part.isEmpty
    }
  }
}

/// The other end, which sends as long as there is room.
final class Sender {
  let socket: Socket
  private let message: [UInt8]
  private var sent = 0

  init(_ stack: Stack, to address: SocketAddress, _ message: [UInt8]) throws {
    self.message = message
    socket = try stack.socket(.tcp)
    socket.isNonBlocking = true
    do { try socket.connect(to: address) } catch  where error.errno == .EINPROGRESS {}
  }

  func run() throws {
    while sent < message.count, socket.readiness.contains(.writable) {
      sent += try socket.send(Array(message[sent..<min(sent + 65536, message.count)]))
      if sent == message.count { try socket.shutdown(write: true) }
    }
  }
}

@main
struct TwoStacks {
  static func main() throws {
    let arguments = CommandLine.arguments
    let byteCount = arguments.count > 1 ? Int(arguments[1]) : 4 << 20
    guard let byteCount, byteCount > 0 else {
      print("usage: two-stacks [BYTES [FILE.pcapng]]")
      exit(64)
    }
    let message = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let network = try Network()
    let capture = try network.left.stack.startCapture()
    var file = PcapngEncoder()
    file.appendSectionHeader(application: "two-stacks")
    file.appendInterface(name: "left")

    let receiver = try Receiver(network.right.stack, port: 8080)
    let sender = try Sender(
      network.left.stack, to: SocketAddress(IPv4Address("10.0.0.2")!, port: 8080), message)
    while !receiver.isDone, network.step() {
      try sender.run()
      try receiver.run()
      for frame in capture.read(queue: 0, limit: .max).frames {
        file.append(frame, timestamp: frame.time.nanoseconds)
      }
    }
    precondition(receiver.bytes == message, "TCP delivers what was sent, in order")

    let info = sender.socket.tcpInfo
    print("\(byteCount) bytes in \(network.left.now.nanoseconds / 1_000_000) ms of virtual time")
    print(
      "\(info?.totalRetransmissions ?? 0) segments sent again, round-trip time \((info?.smoothedRTT ?? .zero).rawValue / 1_000_000) ms"
    )
    if arguments.count > 2 { try Data(file.bytes).write(to: URL(fileURLWithPath: arguments[2])) }
  }
}
