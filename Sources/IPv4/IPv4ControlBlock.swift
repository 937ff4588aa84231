import SkBuff

/// What a packet that goes up to a datagram's socket tells of its way in. Linux: `struct inet_skb_parm`.
private struct IPv4ControlBlock: ControlBlock {
  var largestFragment: UInt16
}

extension SkBuff {
  /// Bytes of the largest of the fragments that the packet came in, IP header included; 0: it came whole. Known of a packet
  /// that `IPv4Layer` hands to UDP, until that writes its own control block. Linux: `frag_max_size`.
  public internal(set) var largestFragment: UInt16 {
    get { self[controlBlock: IPv4ControlBlock.self].largestFragment }
    set { self[controlBlock: IPv4ControlBlock.self] = IPv4ControlBlock(largestFragment: newValue) }
  }
}
