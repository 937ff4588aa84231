import SwiftStack

/// An open connection between a `ScriptedPeer` and a socket, with both ends' next sequence numbers.
public final class ScriptedConnection {
  public let peer: ScriptedPeer
  public let socket: Socket
  /// Ours: the scripted end's.
  public var sequence: UInt32
  /// The next byte we expect from the stack.
  public var acknowledgment: UInt32
  public var window: UInt16
  private let hasTimestamps: Bool
  public var timestamp: UInt32 = Variation.current.peerTimestamp
  public var echo: UInt32 = 0

  /// The stack connects, the scripted end answers with these options.
  ///
  /// - Parameters:
  ///   - rtt: how long the SYN-ACK takes.
  ///   - options: of the SYN-ACK; the default is MSS 1460 alone: no SACK, no timestamps, no scaling.
  public init(
    peer: ScriptedPeer, initial: UInt32? = nil, window: UInt16 = 65535, options: [UInt8] = [2, 4, 5, 0xB4],
    timestamps: Bool = false, rtt: Nanoseconds = .zero, configure: (Socket) throws -> Void = { _ in }
  ) throws {
    self.peer = peer
    let initial = initial ?? Variation.current.peerSequence
    socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try configure(socket)
    // The answer is still to come: EINPROGRESS.
    try? socket.connect(to: ScriptedPeer.address)
    guard let syn = peer.next(), syn.isSyn else { throw SocketError("connect", .EPROTO) }
    peer.hostPort = syn.sourcePort
    peer.port = syn.destinationPort
    sequence = initial &+ 1
    acknowledgment = syn.sequence &+ 1
    self.window = window
    hasTimestamps = timestamps
    peer.advance(rtt)
    var all = options
    if timestamps {
      echo = syn.timestamps?.value ?? 0
      all += [1, 1, 8, 10] + ScriptedPeer.bytes(timestamp) + ScriptedPeer.bytes(echo)
    }
    peer.send(0x12, sequence: initial, acknowledgment: acknowledgment, window: window, options: all)
    guard let ack = peer.next(), ack.isAck, ack.acknowledgment == sequence else {
      throw SocketError("connect", .EPROTO)
    }
    if let stamps = ack.timestamps { echo = stamps.value }
  }

  /// Options every segment carries.
  public var standing: [UInt8] {
    hasTimestamps ? [1, 1, 8, 10] + ScriptedPeer.bytes(timestamp) + ScriptedPeer.bytes(echo) : []
  }

  /// Data from us; moves our sequence.
  public func send(_ payload: [UInt8], flags: UInt8 = 0x10) {
    peer.send(
      flags, sequence: sequence, acknowledgment: acknowledgment, window: window, options: standing,
      payload: payload)
    sequence &+= UInt32(payload.count) &+ (flags & 1 == 1 ? 1 : 0)
  }

  /// Acknowledges up to `number`, with SACK blocks.
  public func acknowledge(_ number: UInt32? = nil, sack: [(UInt32, UInt32)] = []) {
    if let number { acknowledgment = number }
    var options = standing
    if !sack.isEmpty {
      options += [1, 1, 5, UInt8(2 + 8 * sack.count)]
      for (start, end) in sack { options += ScriptedPeer.bytes(start) + ScriptedPeer.bytes(end) }
    }
    peer.send(0x10, sequence: sequence, acknowledgment: acknowledgment, window: window, options: options)
  }

  /// Takes everything the stack sent, as one run of bytes that must be contiguous.
  public func takeData() -> [UInt8] {
    var bytes: [UInt8] = []
    for segment in peer.all() where !segment.payload.isEmpty {
      if segment.sequence == acknowledgment {
        bytes += segment.payload
        acknowledgment &+= UInt32(segment.payload.count)
      }
      if let stamps = segment.timestamps { echo = stamps.value }
    }
    return bytes
  }
}
