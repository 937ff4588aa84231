/// The named points of the path, each called as the Linux function that does the work.
@frozen
public enum TracePoint: UInt16, Sendable, CaseIterable {
  case sock_sendmsg, sock_recvmsg
  case tcp_sendmsg, tcp_write_xmit, tcp_transmit_skb, tcp_retransmit_skb, tcp_rcv_established, tcp_v4_rcv,
    tcp_ack
  case tcp_set_state, tcp_send_ack, tcp_retransmit_timer, tcp_write_wakeup, tcp_enter_recovery
  case udp_sendmsg, udp_send_skb, udp_rcv
  case ip_queue_xmit, ip_output, ip_finish_output2, ip_fragment, ip_rcv, ip_defrag, icmp_rcv, icmp_send
  case neigh_update, neigh_event_send, arp_send, arp_rcv
  case dev_queue_xmit, qdisc_enqueue, sch_direct_xmit, dev_hard_start_xmit, skb_gso_segment
  case ice_start_xmit, ice_tso, ice_tx_map, ice_doorbell, ice_clean_tx_irq, ice_clean_rx_irq
  case device_fetch, device_frame_out, device_frame_in, device_malicious_driver
  case dql_stop, dql_wake
  case kfree_skb

  public var name: String { "\(self)" }

  /// What the three arguments of a record mean at this point; an empty name is not printed.
  public var argumentNames: (String, String, String) {
    switch self {
    case .sock_sendmsg, .sock_recvmsg: ("bytes", "flags", "result")
    case .tcp_sendmsg, .udp_sendmsg: ("bytes", "copied", "")
    case .tcp_write_xmit: ("mss", "cwnd", "in_flight")
    case .tcp_transmit_skb, .tcp_retransmit_skb: ("seq", "len", "flags")
    case .tcp_rcv_established, .tcp_v4_rcv: ("seq", "len", "flags")
    case .tcp_ack: ("ack", "acked", "in_flight")
    case .tcp_send_ack: ("ack", "window", "")
    case .tcp_set_state: ("old", "new", "")
    case .tcp_retransmit_timer, .tcp_write_wakeup: ("rto_us", "backoff", "")
    case .tcp_enter_recovery: ("ssthresh", "high_seq", "")
    case .udp_send_skb, .udp_rcv: ("len", "port", "")
    case .ip_queue_xmit, .ip_output, .ip_finish_output2, .ip_rcv: ("len", "protocol", "address")
    case .ip_fragment, .ip_defrag: ("len", "id", "offset")
    case .icmp_rcv, .icmp_send: ("type", "code", "")
    case .neigh_update, .neigh_event_send: ("address", "old", "new")
    case .arp_send, .arp_rcv: ("operation", "address", "")
    case .dev_queue_xmit: ("len", "qlen", "ifindex")
    case .qdisc_enqueue: ("len", "qlen", "")
    case .sch_direct_xmit: ("packets", "qlen", "")
    case .dev_hard_start_xmit: ("len", "gso_segs", "more")
    case .skb_gso_segment: ("len", "gso_size", "segments")
    case .ice_start_xmit: ("len", "descriptors", "next_to_use")
    case .ice_tso: ("header", "mss", "payload")
    case .ice_tx_map: ("descriptor", "buffer", "len")
    case .ice_doorbell: ("tail", "packets", "")
    case .ice_clean_tx_irq, .ice_clean_rx_irq: ("packets", "bytes", "next_to_clean")
    case .device_fetch: ("head", "descriptors", "")
    case .device_frame_out, .device_frame_in: ("len", "segments", "gso_size")
    case .device_malicious_driver: ("event", "descriptor", "")
    case .dql_stop, .dql_wake: ("queued", "limit", "")
    case .kfree_skb: ("reason", "len", "")
    }
  }
}

/// One tracepoint hit.
@frozen
public struct TraceRecord: Sendable {
  /// Nanoseconds on the stack's clock.
  public var nanoseconds: UInt64
  public var point: TracePoint
  /// The sk_buff's serial number; clones share it, so one packet can be followed. 0: none.
  public var skb: UInt32
  /// The socket's number; 0: none.
  public var socket: UInt32
  public var a: UInt64
  public var b: UInt64
  public var c: UInt64

  public init(
    nanoseconds: UInt64, point: TracePoint, skb: UInt32, socket: UInt32, a: UInt64, b: UInt64, c: UInt64
  ) {
    self.nanoseconds = nanoseconds
    self.point = point
    self.skb = skb
    self.socket = socket
    self.a = a
    self.b = b
    self.c = c
  }
}
