/// The counters of `/proc/net/snmp` and `/proc/net/netstat`, by the names that `nstat` prints.
public struct NetCounters: Sendable {
  @frozen
  public enum Name: UInt8, CaseIterable, Sendable {
    case IpInReceives, IpInHdrErrors, IpInAddrErrors, IpInUnknownProtos, IpInDiscards, IpInDelivers
    case IpOutRequests, IpOutDiscards, IpOutNoRoutes, IpOutTransmits
    case IpReasmTimeout, IpReasmReqds, IpReasmOKs, IpReasmFails, IpFragOKs, IpFragFails, IpFragCreates
    case IcmpInMsgs, IcmpInErrors, IcmpInCsumErrors, IcmpInDestUnreachs, IcmpInTimeExcds, IcmpInParmProbs
    case IcmpInEchos, IcmpInEchoReps, IcmpOutMsgs, IcmpOutErrors, IcmpOutRateLimitGlobal, IcmpOutRateLimitHost
    case IcmpOutDestUnreachs, IcmpOutTimeExcds, IcmpOutParmProbs, IcmpOutEchos, IcmpOutEchoReps
    case TcpActiveOpens, TcpPassiveOpens, TcpAttemptFails, TcpEstabResets, TcpCurrEstab, TcpInSegs, TcpOutSegs
    case TcpRetransSegs, TcpInErrs, TcpOutRsts, TcpInCsumErrors
    case UdpInDatagrams, UdpNoPorts, UdpInErrors, UdpOutDatagrams, UdpRcvbufErrors, UdpSndbufErrors
    case UdpInCsumErrors, UdpIgnoredMulti, UdpMemErrors
    case TcpExtTW, TcpExtTWRecycled, TcpExtPAWSEstab, TcpExtPAWSActive, TcpExtDelayedACKs,
      TcpExtDelayedACKLost
    case TcpExtListenOverflows, TcpExtListenDrops, TcpExtTCPHPHits, TcpExtTCPPureAcks, TcpExtTCPHPAcks
    case TcpExtTCPSackRecovery, TcpExtTCPRenoRecovery, TcpExtTCPSACKReneging, TcpExtTCPTSReorder
    case TcpExtTCPFullUndo, TcpExtTCPPartialUndo, TcpExtTCPDSACKUndo, TcpExtTCPLossUndo
    case TcpExtTCPLostRetransmit, TcpExtTCPFastRetrans, TcpExtTCPSlowStartRetrans, TcpExtTCPTimeouts
    case TcpExtTCPLossProbes, TcpExtTCPSpuriousRTOs, TcpExtTCPRcvCollapsed, TcpExtTCPBacklogCoalesce
    case TcpExtTCPDSACKOldSent, TcpExtTCPDSACKOfoSent, TcpExtTCPDSACKRecv, TcpExtTCPDSACKOfoRecv
    case TcpExtTCPDSACKIgnoredDubious, TcpExtTCPDSACKRecvSegs, TcpExtTCPSACKReorder, TcpExtTCPRenoReorder
    case TcpExtTCPRetransFail, TcpExtTCPWqueueTooBig
    case TcpExtTCPAbortOnData, TcpExtTCPAbortOnClose, TcpExtTCPAbortOnMemory, TcpExtTCPAbortOnTimeout
    case TcpExtTCPAbortOnLinger, TcpExtTCPMemoryPressures, TcpExtTCPSackShiftFallback, TcpExtTCPRcvCoalesce
    case TcpExtTCPOFOQueue, TcpExtTCPOFODrop, TcpExtTCPOFOMerge, TcpExtTCPChallengeACK, TcpExtTCPSYNChallenge
    case TcpExtTCPFromZeroWindowAdv, TcpExtTCPToZeroWindowAdv, TcpExtTCPWantZeroWindowAdv, TcpExtTCPSynRetrans
    case TcpExtTCPOrigDataSent, TcpExtTCPKeepAlive, TcpExtTCPDelivered, TcpExtTCPAutoCorking,
      TcpExtTCPZeroWindowDrop
    case TcpExtTCPRcvQDrop, TcpExtTCPWinProbe, TcpExtTCPReqQFullDrop, TcpExtTCPSpuriousRtxHostQueues
    case IpExtInOctets, IpExtOutOctets, IpExtInBcastPkts, IpExtOutBcastPkts, IpExtInMcastPkts,
      IpExtOutMcastPkts
    case IpExtInCsumErrors, IpExtInNoECTPkts, IpExtInCEPkts
    case ArpInPackets, ArpOutRequests, ArpOutReplies, NeighTableFulls
  }
  private var values: InlineArray<160, UInt64> = .init(repeating: 0)

  public init() {}

  /// Adds in place: through the subscript's getter every count would copy the whole array.
  public mutating func count(_ name: Name, by amount: UInt64 = 1) {
    values[Int(name.rawValue)] &+= amount
  }

  public subscript(name: Name) -> UInt64 {
    get { values[Int(name.rawValue)] }
    set { values[Int(name.rawValue)] = newValue }
  }

  /// Every counter with its name, in `nstat`'s order.
  public var all: [(name: String, value: UInt64)] { Name.allCases.map { ("\($0)", self[$0]) } }
}
