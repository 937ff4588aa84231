/// Why a packet was thrown away. Linux: `enum skb_drop_reason`.
@frozen
public enum DropReason: UInt8, Sendable, CaseIterable {
  case noSocket
  case packetTooSmall
  case tcpChecksum
  case udpChecksum
  case ipChecksum
  case ipHeader
  case ipNoProtocol
  case ipInvalidSource
  case ipNotForUs
  case ipReversePathFilter
  case ipOutNoRoute
  /// A packet of others that nowhere leads to.
  case ipInNoRoute
  /// From an address of ours, or from or to 127.0.0.0/8, though it came in by a device.
  case ipLocalSource, ipLocalnet
  case netfilterDrop
  /// An egress program said so.
  case bpfCgroupEgress
  /// The program of its route said so, or was sent through within itself.
  case lightweightTunnel
  case fragmentTimeout
  case fragmentInvalid
  case fragmentTooFar
  case reassemblyMemory
  case otherHost
  case unknownEtherType
  case icmpInvalid
  case icmpChecksum
  /// Of a kind that nobody asks everybody.
  case invalidProtocol
  case neighbourQueueFull
  case neighbourFailed
  case neighbourDead
  /// The table of neighbours is full.
  case neighbourCreateFailed
  /// A packet says that our own link-layer address is another station's.
  case ownLinkAddress
  case qdiscDrop
  case qdiscReset
  /// Too many packets to ourselves wait.
  case cpuBacklog
  case deviceDown
  /// What the device said of a received frame cannot be.
  case deviceHeader
  case deviceDMAMapping
  case deviceFull
  case deviceTooLong
  case gsoFailed
  /// A link-layer header does not fit in front of it.
  case noHeadroom
  case noMemory
  case socketReceiveBuffer
  case tcpFlags
  case tcpZeroWindow
  case tcpOldData
  case tcpOverWindow
  case tcpOutOfOrderMemory
  case tcpPAWS
  case tcpInvalidSequence
  case tcpInvalidAcknowledgment
  case tcpReset
  case tcpInvalidSYN
  case tcpListenOverflow
  case tcpAbortOnData
  case tcpMD5NotFound
  case tcpMD5Unexpected
  case tcpMD5Failure
  case tcpSignedTwice
  case tcpMinimumTTL
  case tcpAONotFound
  case tcpAOUnexpected
  case tcpAOKeyNotFound
  case tcpAOFailure
  case tcpClose

  /// Linux's name of it, or one of the same kind where Linux has none. Linux: `drop_reasons[]`.
  public var name: String {
    // kfree_skb's SKB_DROP_REASON_ names: words in capitals.
    switch self {
    case .packetTooSmall: "PKT_TOO_SMALL"
    case .tcpChecksum: "TCP_CSUM"
    case .udpChecksum: "UDP_CSUM"
    case .ipChecksum: "IP_CSUM"
    case .ipHeader: "IP_INHDR"
    case .ipNoProtocol: "IP_NOPROTO"
    case .ipNotForUs: "IP_INADDRERRORS"
    case .ipReversePathFilter: "IP_RPFILTER"
    case .ipOutNoRoute: "IP_OUTNOROUTES"
    case .ipInNoRoute: "IP_INNOROUTES"
    case .icmpChecksum: "ICMP_CSUM"
    case .invalidProtocol: "INVALID_PROTO"
    case .fragmentTimeout: "FRAG_REASM_TIMEOUT"
    case .fragmentInvalid: "FRAG_INVALID"
    case .fragmentTooFar: "FRAG_TOO_FAR"
    case .reassemblyMemory: "FRAG_REASM_MEMORY"
    case .otherHost: "OTHERHOST"
    case .unknownEtherType: "UNHANDLED_PROTO"
    case .neighbourQueueFull: "NEIGH_QUEUEFULL"
    case .neighbourFailed: "NEIGH_FAILED"
    case .neighbourDead: "NEIGH_DEAD"
    case .neighbourCreateFailed: "NEIGH_CREATEFAIL"
    case .qdiscReset: "QUEUE_PURGE"
    case .deviceDown: "DEV_READY"
    case .deviceHeader: "DEV_HDR"
    case .deviceDMAMapping: "DMA_MAPPING"
    case .deviceFull: "FULL_RING"
    case .deviceTooLong: "PKT_TOO_BIG"
    case .gsoFailed: "SKB_GSO_SEG"
    case .noHeadroom: "NOT_SPECIFIED"
    case .noMemory: "NOMEM"
    case .socketReceiveBuffer: "SOCKET_RCVBUFF"
    case .tcpZeroWindow: "TCP_ZEROWINDOW"
    case .tcpOldData: "TCP_OLD_DATA"
    case .tcpOverWindow: "TCP_OVERWINDOW"
    case .tcpOutOfOrderMemory: "TCP_OFO_QUEUE_PRUNE"
    case .tcpPAWS: "TCP_RFC7323_PAWS"
    case .tcpInvalidSequence: "TCP_INVALID_SEQUENCE"
    case .tcpInvalidAcknowledgment: "TCP_INVALID_ACK_SEQUENCE"
    case .tcpInvalidSYN: "TCP_INVALID_SYN"
    case .tcpAbortOnData: "TCP_ABORT_ON_DATA"
    case .tcpMD5NotFound: "TCP_MD5NOTFOUND"
    case .tcpMD5Unexpected: "TCP_MD5UNEXPECTED"
    case .tcpMD5Failure: "TCP_MD5FAILURE"
    case .tcpSignedTwice: "TCP_AUTH_HDR"
    case .tcpMinimumTTL: "TCP_MINTTL"
    case .tcpAONotFound: "TCP_AONOTFOUND"
    case .tcpAOUnexpected: "TCP_AOUNEXPECTED"
    case .tcpAOKeyNotFound: "TCP_AOKEYNOTFOUND"
    case .tcpAOFailure: "TCP_AOFAILURE"
    default: Self.words("\(self)")
    }
  }

  /// `qdiscDrop` is `QDISC_DROP`.
  private static func words(_ name: String) -> String {
    name.reduce(into: "") { text, letter in
      if letter.isUppercase { text.append("_") }
      text += letter.uppercased()
    }
  }
}
