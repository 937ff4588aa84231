import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Wire

/// UDP (RFC 768): its sockets, and what goes in and out of them. Linux: `net/ipv4/udp.c`.
///
/// Nothing here blocks: a call that would have to wait throws EAGAIN, and `net.wake` tells when to try again.
public struct UDPLayer: ~Copyable {
  public var table: DatagramTable

  /// - Parameter secret: keys the hash of the socket table.
  public init(secret: (UInt64, UInt64)) { table = DatagramTable(kind: .udp, secret: secret) }

  // MARK: Options

  public func options(_ id: SocketID) throws(Errno) -> DatagramOptions {
    table.sockets[try table.slot(id)].options
  }

  /// Whether a datagram is being collected, by `MSG_MORE` or `UDP_CORK`. Linux: `up->pending`.
  public func isCollecting(_ id: SocketID) -> Bool {
    guard let index = try? table.slot(id) else { return false }
    return table.sockets[index].pending != nil
  }

  /// `UDP_SEGMENT`.
  public mutating func setSegmentByteCount(_ id: SocketID, _ count: Int) throws(Errno) {
    table.sockets[try table.slot(id)].options.segmentByteCount = count
  }

  /// `UDP_CORK`. Off, it sends the datagram that `MSG_MORE` or the option has been collecting, whatever it was before.
  /// Linux: `udp_lib_setsockopt()`.
  public mutating func setCork(_ id: SocketID, _ isOn: Bool, host: inout Host) throws(Errno) {
    let index = try table.slot(id)
    table.sockets[index].options.cork = isOn
    if !isOn { try pushPendingFrames(index, host: &host) }
  }

  // MARK: Receiving

  /// Takes the first datagram. Never blocks.
  ///
  /// - Throws: the pending error; EAGAIN; EFAULT.
  public mutating func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, net: inout Net
  ) throws(Errno) -> ReceivedMessage {
    let index = try table.slot(id)
    let message = try table.sockets[index].receive(into: &iter, flags: flags)
    if message.source != nil && !flags.contains(.peek) {
      net.counters.count(.UdpInDatagrams)
    }
    return message
  }
}
