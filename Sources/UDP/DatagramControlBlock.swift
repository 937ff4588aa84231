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
  /// Bytes of the largest of the fragments that it came in; 0: it came whole.
  var largestFragment: UInt16 = 0
  /// Datagrams that the socket had no room for before this one, where it asks for them. Linux: `dropcount` of `SOCK_SKB_CB`.
  var dropCount: UInt32 = 0
  /// The port in its header. Linux: `ports[1]` in `ip_cmsg_recv_dstaddr()`.
  var destinationPort: UInt16 = 0
  /// An empty one that a peek has seen: the next peek under `SO_PEEK_OFF` goes on behind it. Linux: `skb->peeked`.
  var isPeeked = false
}

extension SkBuff {
  /// The control block of a packet that a datagram socket holds.
  var datagram: DatagramControlBlock {
    get { self[controlBlock: DatagramControlBlock.self] }
    set { self[controlBlock: DatagramControlBlock.self] = newValue }
  }
}
