import IPv4

/// What one shard hands another.
package enum Handover: Sendable {
  /// A packet that IP has not seen: the first shard's business.
  case packet(HandedPacket)
  /// An ARP packet that another shard has taken in; what it tells is for all.
  case overheard(HandedPacket)
  /// A TCP segment that IP has taken in whole, and the shards that do not have its connection, a bit for each.
  case segment(HandedPacket, asked: UInt64)
  /// An ICMP error about a TCP connection that another shard may have.
  case error(TransportError)
}

/// A shard's mailbox: others put packets in, whoever runs the shard takes them out. Bounded, as a NIC's queue is.
package protocol Mailbox: AnyObject, Sendable {
  /// Returns false, and takes nothing, when it is full.
  func put(_ item: Handover) -> Bool
  func takeAll() -> [Handover]
}
