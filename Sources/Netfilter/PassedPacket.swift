import SkBuff
import Wire

/// An IP packet that has passed the hooks of the way out. Only they make one, and the neighbours and the device take
/// nothing else, so that a way round the hooks does not compile.
@frozen
public struct PassedPacket: ~Copyable {
  @inlinable public var skb: SkBuff { _read { yield packet } }
  @usableFromInline var packet: SkBuff

  @inlinable @inline(__always)
  init(_ skb: consuming SkBuff) { packet = skb }

  /// ARP, which is not IP: no hook sees it.
  ///
  /// - Precondition: `frame` is not an IP packet.
  public init(arp frame: consuming SkBuff) {
    precondition(frame.etherType == .arp, "only ARP goes out without having passed the hooks")
    packet = frame
  }

  @inlinable @inline(__always)
  public consuming func take() -> SkBuff { packet }

  /// Puts a neighbour's cached header in front, see `SkBuff.push(cached:byteCount:)`.
  @inlinable @inline(__always)
  public mutating func push(cached header: SIMD2<UInt64>, byteCount: Int) -> Bool {
    packet.push(cached: header, byteCount: byteCount)
  }

  /// Notes the device that the destination's address is of, see `SkBuff.routeInterface`.
  public mutating func route(by interface: InterfaceIndex) { packet.routeInterface = interface }

  /// Cutting a packet needs no second verdict: what it is cut into may go where it may.
  public borrowing func permit() -> PiecesPermit { PiecesPermit() }
}

/// A packet has passed, and what it is cut into has.
public struct PiecesPermit {
  fileprivate init() {}
  public func piece(_ skb: consuming SkBuff) -> PassedPacket { PassedPacket(skb) }
}

/// Packets that have passed and wait for a neighbour's address.
public struct PassedQueue: ~Copyable {
  private var queue = SkBuffQueue()
  public init() {}

  public var isEmpty: Bool { queue.isEmpty }
  public var count: Int { queue.count }

  public mutating func append(_ packet: consuming PassedPacket) { queue.append(packet.take()) }

  public mutating func popFirst() -> PassedPacket? {
    guard let skb = queue.popFirst() else { return nil }
    return PassedPacket(skb)
  }

  /// `nil` when there is none.
  public func withFirst<Result>(_ body: (borrowing SkBuff) -> Result) -> Result? {
    guard let place = queue.first else { return nil }
    return queue.withPacket(at: place, body)
  }

  /// Gives all up: they will not be sent.
  ///
  /// - Parameter interface: the device that they were to leave by, which they name from now on.
  public mutating func surrender(to other: inout SkBuffQueue, of interface: InterfaceIndex) {
    while var skb = queue.popFirst() {
      skb.interface = interface
      other.append(skb)
    }
  }
}
