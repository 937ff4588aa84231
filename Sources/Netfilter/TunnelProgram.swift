import SkBuff
import Wire

/// Somebody who is asked about every packet by a route that leads through it, before the packet goes to its next hop: the
/// stack's own and those of others that it forwards. Linux: `lwtunnel_xmit()`, a route's `encap bpf xmit`.
///
/// It sees each packet as it would be on the wire, whole: `HookPacket.bytes` is all of it, its checksums are there, and what
/// stands for several segments comes as these, one after the other. The hooks and egress programs have been asked already.
///
/// A program belongs to one shard, and is asked under the shard's lock: it needs no lock of its own, and must not call the
/// stack. What it has taken it may send later, by a socket or otherwise; what is only to go inside another packet the stack
/// sends itself, see `TunnelVerdict.encapsulate(_:)`.
public protocol TunnelClient: AnyObject {
  func xmit(_ packet: borrowing HookPacket) -> TunnelVerdict
}

/// What becomes of a packet whose route leads through a program. Linux: `LWTUNNEL_XMIT_*`, `enum bpf_ret_code`.
public enum TunnelVerdict: Sendable {
  /// It goes on to the route's next hop. Linux: `LWTUNNEL_XMIT_CONTINUE`.
  case pass
  /// It ends here: the program has of it what it wants, and to its sender it is sent. Linux: `LWTUNNEL_XMIT_DONE`.
  case taken
  /// It goes on inside another packet, by that one's route. Linux: `bpf_lwt_push_encap()` with `BPF_LWT_REROUTE`.
  case encapsulate(Encapsulation)
  /// It is thrown away, and its local sender gets the error. Linux: `BPF_DROP`, with EPERM.
  case drop(Errno)
}

/// The packet around another one (RFC 2003). It passes the hook `postrouting`, is cut where it does not fit, and belongs to no
/// tracked connection.
public struct Encapsulation: Sendable, Equatable {
  /// One of the stack's addresses; `nil`: the one that its route prefers.
  public var source: IPv4Address?
  /// Where it goes.
  public var destination: IPv4Address
  /// What stands between its IP header and the packet inside: nothing, 4, for IP in IP.
  public var `protocol`: IPProtocol
  /// That, such as a UDP header; 236 bytes at most.
  public var header: [UInt8]
  /// The second byte of the IP header.
  public var typeOfService: UInt8 = 0
  /// Hops; 0: the stack's default, `net.ipv4.ip_default_ttl`.
  public var timeToLive: UInt8 = 0
  /// It is not cut: over its path's MTU it is thrown away.
  public var dontFragment = false

  public init(
    source: IPv4Address? = nil, destination: IPv4Address,
    protocol number: IPProtocol = IPProtocol(rawValue: 4), header: [UInt8] = []
  ) {
    self.source = source
    self.destination = destination
    self.protocol = number
    self.header = header
  }

  /// Bytes in front of a packet that there may be, the outer IP header among them. Linux: `LWT_BPF_MAX_HEADROOM`.
  public static let headroomLimit = 256
}

/// Names a program that routes lead through.
@frozen
public struct TunnelID: Hashable, Sendable, CustomStringConvertible {
  @usableFromInline let number: UInt16
  @inlinable init(_ number: UInt16) { self.number = number }
  /// That of a route that leads through none.
  @inlinable public static var none: TunnelID { TunnelID(0) }
  /// As it was registered: the first is 1.
  public var description: String { "\(number)" }
  var index: Int { Int(number) - 1 }
}

/// The programs of one shard.
struct TunnelPrograms {
  private struct Entry {
    var client: any TunnelClient
    var headroom: Int
  }
  private var entries: [Entry?] = []
  /// As many as routes may tell apart here.
  static let limit = 1024

  /// - Throws: ENOBUFS when there are too many; ERANGE for more bytes than can be in front of a packet.
  mutating func register(_ client: any TunnelClient, headroom: Int) throws(Errno) -> TunnelID {
    guard 0...Encapsulation.headroomLimit ~= headroom else { throw .ERANGE }
    let place = entries.firstIndex { $0 == nil } ?? entries.count
    guard place < Self.limit else { throw .ENOBUFS }
    if place == entries.count { entries.append(nil) }
    entries[place] = Entry(client: client, headroom: headroom)
    return TunnelID(UInt16(place + 1))
  }

  func contains(_ id: TunnelID) -> Bool { entries.indices.contains(id.index) && entries[id.index] != nil }
  mutating func remove(_ id: TunnelID) { entries[id.index] = nil }
  func client(_ id: TunnelID) -> (any TunnelClient)? { contains(id) ? entries[id.index]?.client : nil }
  func headroom(_ id: TunnelID) -> Int { contains(id) ? entries[id.index]?.headroom ?? 0 : 0 }
}

extension Hooks {
  /// Adds a program that routes may lead through. Linux: `lwtunnel_build_state()`.
  ///
  /// - Parameter headroom: bytes that it puts in front of packets: their path's MTU is so much less.
  /// - Throws: ENOBUFS when there are too many; ERANGE for more bytes than can be in front of a packet.
  public mutating func register(tunnel client: any TunnelClient, headroom: Int) throws(Errno) -> TunnelID {
    try tunnels.register(client, headroom: headroom)
  }

  /// Lets a program go that no route leads through.
  public mutating func unregister(tunnel id: TunnelID) throws(Errno) {
    guard tunnels.contains(id) else { throw .ENOENT }
    tunnels.remove(id)
  }

  public func contains(tunnel id: TunnelID) -> Bool { tunnels.contains(id) }

  /// How much less the MTU is of what goes through a program. Linux: `lwtunnel_headroom()`.
  public func headroom(of id: TunnelID, mtu: Int) -> Int {
    let headroom = tunnels.headroom(id)
    return headroom < mtu ? headroom : 0
  }

  /// Asks the program that a packet's route leads through. Linux: `lwtunnel_xmit()`.
  ///
  /// - Parameter skb: data at its IP header, in one piece, complete.
  public func tunnelVerdict(
    _ skb: borrowing SkBuff, by id: TunnelID, interface: InterfaceIndex
  ) -> TunnelVerdict {
    // A socket may know a route for a moment longer than the program is there.
    guard let client = tunnels.client(id), let header = IPv4Header(parsing: skb.linear) else {
      return .drop(.EOPNOTSUPP)
    }
    let packet = look(
      .postrouting, header, skb, interface: interface, output: .none, byteCount: skb.length)
    return client.xmit(packet)
  }
}
