import IPv4
import UDP

/// What one shard hands another.
package enum Handover: Sendable {
  /// A fragment, which IP has not seen.
  case fragment(HandedPacket)
  /// An ARP packet that another shard has taken in; what it tells is for all.
  case overheard(HandedPacket)
  /// A TCP segment that IP has taken in whole, and how far the search for its connection has come.
  case segment(HandedPacket, SegmentSearch)
  /// A datagram or echo reply that IP has taken in whole, and how far the search for its socket has come.
  case datagram(HandedPacket, DatagramSearch)
  /// A copy of a datagram that is for every socket that wants it.
  case copy(HandedPacket)
  /// An ICMP error about a TCP connection, and the shards that do not have it, a bit for each.
  case error(TransportError, asked: UInt64)
  /// An ICMP error about a datagram, and how far the search for its socket has come.
  case datagramError(TransportError, DatagramSearch)
}

/// A shard's mailbox: others put packets in, whoever runs the shard takes them out. Bounded, as a NIC's queue is.
package protocol Mailbox: AnyObject, Sendable {
  /// Returns false, and takes nothing, when it is full.
  func put(_ item: Handover) -> Bool
  func takeAll() -> [Handover]
}

/// How far the search for a segment's connection, or a SYN's listener, has come among the shards.
package struct SegmentSearch: Sendable, Equatable {
  /// Shards that do not have the connection, a bit for each.
  var asked: UInt64 = 0
  /// Shards that have no listener for it.
  var deaf: UInt64 = 0
}
