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
  /// UDP-Lite (RFC 3828): the same but for what the checksum covers, with ports and counters of its own.
  let isLite: Bool
  let counters: UDPCounters

  /// - Parameter secret: keys the hash of the socket table.
  public init(secret: (UInt64, UInt64), isLite: Bool = false) {
    table = DatagramTable(kind: isLite ? .udpLite : .udp, secret: secret)
    self.isLite = isLite
    counters = UDPCounters(isLite: isLite)
  }

  var `protocol`: IPProtocol { isLite ? .udpLite : .udp }

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

  /// `UDPLITE_SEND_CSCOV`, `UDPLITE_RECV_CSCOV`: values that no datagram could have become the nearest that one can. 0: all.
  /// Linux: `udp_lib_setsockopt()`.
  public mutating func setCoverage(
    _ id: SocketID, _ value: Int32, _ field: WritableKeyPath<DatagramOptions, UInt16?>
  ) throws(Errno) {
    let index = try table.slot(id)
    guard isLite else { throw .ENOPROTOOPT }
    table.sockets[index].options[keyPath: field] =
      value == 0 ? 0 : UInt16(clamping: max(value, Int32(UDPHeader.byteCount)))
  }

  /// `UDP_GRO`.
  public mutating func setReceiveOffload(_ id: SocketID, _ isOn: Bool, net: inout Net) throws(Errno) {
    let index = try table.slot(id)
    if table.sockets[index].options.receiveOffload != isOn {
      net.datagramOffloadUsers += isOn ? 1 : -1
    }
    table.sockets[index].options.receiveOffload = isOn
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
    let message = try table.sockets[index].receive(into: &iter, flags: flags, net: net)
    if message.source != nil && !flags.contains(.peek) {
      net.counters.count(counters.inDatagrams)
    }
    return message
  }
}
