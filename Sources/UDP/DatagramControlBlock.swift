import SkBuff
import Wire

/// What a datagram on a receive queue keeps of its headers. Linux: `struct udp_skb_cb`.
struct DatagramControlBlock: ControlBlock {
  var source: IPv4Address
  var destination: IPv4Address
  /// The address of ours that it was for. Linux: `ipi_spec_dst`.
  var specificDestination: IPv4Address
  var sourcePort: UInt16
  var timeToLive: UInt8
  var typeOfService: UInt8
  /// Bytes that its checksum covers, of UDP-Lite; 0: all.
  var coverage: UInt16 = 0
}

extension SkBuff {
  /// The control block of a packet that a datagram socket holds.
  var datagram: DatagramControlBlock {
    get { self[controlBlock: DatagramControlBlock.self] }
    set { self[controlBlock: DatagramControlBlock.self] = newValue }
  }
}
