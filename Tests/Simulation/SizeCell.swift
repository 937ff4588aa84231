import NetDevice
import NetNamespace

/// What the sender's device does by itself, and what is left to the stack.
public enum OffloadWord: String, Word {
  /// The engines are the wire's: packets of 64 KiB travel whole.
  case lent
  /// The NIC cuts, sums and gathers.
  case tso
  /// It gathers and sums; the stack cuts.
  case gso
  /// It sums; the stack cuts, and packets lie in one piece.
  case linear
  /// Nothing; nor does the receiver put together.
  case none

  var off: DeviceFeatures {
    switch self {
    case .lent, .tso: []
    case .gso: .tsoV4
    case .linear: [.tsoV4, .scatterGather]
    case .none: [.tsoV4, .scatterGather, .checksum, .udpSegmentation, .gro]
    }
  }
}

/// One combination of sizes: the MTU of who sends, the MSS that its peer asks for, time stamps, and what the device does.
public struct SizeCell: Hashable, Sendable {
  public var mtu: Int
  /// TCP_MAXSEG of the listener; its own MTU has room for it.
  public var mss: Int
  public var timestamps: Bool
  public var offload: OffloadWord

  /// Around the common sizes, and odd ones.
  public static let mtus = [576, 577, 600, 1006, 1280, 1400, 1492, 1499, 1500, 1501, 2000, 4000, 8999, 9000]
  /// RFC 9293 section 3.7.1 has 536 for who asks for none.
  public static let sizes = [536, 537, 700, 1000, 1220, 1360, 1452, 1459, 1460, 1461, 2000, 4096, 8959, 8960]

  /// Every combination.
  public static var all: [SizeCell] {
    mtus.flatMap { mtu in
      sizes.flatMap { mss in
        [true, false].flatMap { timestamps in
          OffloadWord.allCases.map { SizeCell(mtu: mtu, mss: mss, timestamps: timestamps, offload: $0) }
        }
      }
    }
  }

  /// The listener's MTU: no less than the sender's, so that what is sent always gets there.
  var peerMTU: Int { max(mtu, mss + 40) }
  var optionByteCount: Int { timestamps ? 12 : 0 }
  /// Bytes of payload that a segment can have (RFC 6691 section 3).
  public var payload: Int { min(mss, mtu - 40) - optionByteCount }
  /// Payload of what the link carries, where every segment is full.
  public var ideal: Double { Double(payload) / Double(payload + optionByteCount + 40 + 14) }

  var hosts: [HostPlan] {
    Side.allCases.map { side in
      var host = HostPlan(name: side)
      host.mtu = side == .a ? mtu : peerMTU
      host.ring = 1024
      host.memory = 64
      host.lent = offload == .lent
      host.timestamps = timestamps
      host.send = 1 << 20
      return host
    }
  }
}

/// What became of a combination.
public struct SizeResult: Sendable {
  /// Segments with payload that were looked at, and packets that the sender gave its device for them.
  public internal(set) var segments = 0
  public internal(set) var packets = 0
  /// Of those, once the connection was under way: payload that has arrived, and segments that it took.
  public internal(set) var bytes = 0
  public internal(set) var measuredSegments = 0
  public internal(set) var measuredPackets = 0
  public internal(set) var acknowledgments = 0
  /// The part of the link's rate that was payload.
  public internal(set) var goodput = 0.0
  /// The first segment that was too long, or another thing that must not be.
  public internal(set) var complaint: String?
}
