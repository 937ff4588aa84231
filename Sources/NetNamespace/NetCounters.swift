/// The counters of `/proc/net/snmp` and `/proc/net/netstat`, by the names that `nstat` prints; of those, the ones whose
/// event there is: no header prediction, socket backlog or shifting of SACKed segments, so no `TCPHPHits` and kin.
public struct NetCounters: Sendable {
  @frozen
  /// The counters, each named as `nstat` has it.
  public enum Name: UInt8, CaseIterable, Sendable {
    case IpInReceives, IpInHdrErrors, IpInAddrErrors, IpForwDatagrams, IpInUnknownProtos, IpInDiscards,
      IpInDelivers
    case IpOutRequests, IpOutDiscards, IpOutNoRoutes, IpOutTransmits
    case IpReasmTimeout, IpReasmReqds, IpReasmOKs, IpReasmFails, IpFragOKs, IpFragFails, IpFragCreates
    case IcmpInSrcQuenchs, IcmpInRedirects, IcmpInTimestamps, IcmpInTimestampReps, IcmpInAddrMasks
    case IcmpInAddrMaskReps, IcmpOutTimestampReps
    case IcmpMsgInType0, IcmpMsgInType3, IcmpMsgInType4, IcmpMsgInType5, IcmpMsgInType8, IcmpMsgInType11
    case IcmpMsgInType12, IcmpMsgInType13, IcmpMsgInType14, IcmpMsgInType17, IcmpMsgInType18
    case IcmpMsgOutType0, IcmpMsgOutType3, IcmpMsgOutType5, IcmpMsgOutType8, IcmpMsgOutType11,
      IcmpMsgOutType12
    case IcmpMsgOutType14
    case IcmpInMsgs, IcmpInErrors, IcmpInCsumErrors, IcmpInDestUnreachs, IcmpInTimeExcds, IcmpInParmProbs
    case IcmpInEchos, IcmpInEchoReps, IcmpOutMsgs, IcmpOutErrors, IcmpOutRateLimitGlobal, IcmpOutRateLimitHost
    case IcmpOutDestUnreachs, IcmpOutTimeExcds, IcmpOutParmProbs, IcmpOutRedirects, IcmpOutEchos,
      IcmpOutEchoReps
    case TcpActiveOpens, TcpPassiveOpens, TcpAttemptFails, TcpEstabResets, TcpCurrEstab, TcpInSegs, TcpOutSegs
    case TcpRetransSegs, TcpInErrs, TcpOutRsts, TcpInCsumErrors
    case UdpInDatagrams, UdpNoPorts, UdpInErrors, UdpOutDatagrams, UdpRcvbufErrors, UdpSndbufErrors
    case UdpInCsumErrors, UdpIgnoredMulti, UdpMemErrors
    case TcpExtArpFilter, TcpExtEmbryonicRsts, TcpExtOutOfWindowIcmps
    case TcpExtPAWSOldAck, TcpExtPAWSTimewait, TcpExtTSEcrRejected
    case TcpExtTCPACKSkippedSynRecv, TcpExtTCPACKSkippedPAWS, TcpExtTCPACKSkippedSeq
    case TcpExtTCPACKSkippedTimeWait, TcpExtTCPACKSkippedChallenge
    case TcpExtTCPDeferAcceptDrop, TcpExtTCPTimeWaitOverflow, TcpExtTCPAbortFailed
    case TcpExtTCPRenoFailures, TcpExtTCPSackFailures, TcpExtTCPLossFailures
    case TcpExtTCPRenoRecoveryFail, TcpExtTCPSackRecoveryFail
    case TcpExtTCPDSACKIgnoredOld, TcpExtTCPDSACKIgnoredNoUndo
    case UdpLiteInDatagrams, UdpLiteNoPorts, UdpLiteInErrors, UdpLiteOutDatagrams, UdpLiteRcvbufErrors
    case UdpLiteSndbufErrors, UdpLiteInCsumErrors, UdpLiteIgnoredMulti, UdpLiteMemErrors
    case TcpExtTW, TcpExtTWRecycled, TcpExtPAWSEstab, TcpExtPAWSActive, TcpExtDelayedACKs,
      TcpExtDelayedACKLost
    case TcpExtIPReversePathFilter
    case TcpExtListenOverflows, TcpExtListenDrops, TcpExtTCPPureAcks
    case TcpExtTCPSackRecovery, TcpExtTCPRenoRecovery, TcpExtTCPSACKReneging, TcpExtTCPTSReorder
    case TcpExtTCPFullUndo, TcpExtTCPPartialUndo, TcpExtTCPDSACKUndo, TcpExtTCPLossUndo
    case TcpExtTCPHystartDelayDetect, TcpExtTCPHystartDelayCwnd
    case TcpExtTCPLossProbes, TcpExtTCPLossProbeRecovery, TcpExtTCPMTUPFail, TcpExtTCPMTUPSuccess
    case TcpExtTCPLostRetransmit, TcpExtTCPFastRetrans, TcpExtTCPSlowStartRetrans, TcpExtTCPTimeouts
    case TcpExtTCPSACKDiscard, TcpExtTCPSpuriousRTOs, TcpExtTCPRcvCollapsed
    case TcpExtTCPDSACKOldSent, TcpExtTCPDSACKOfoSent, TcpExtTCPDSACKRecv, TcpExtTCPDSACKOfoRecv
    case TcpExtTCPDSACKIgnoredDubious, TcpExtTCPDSACKRecvSegs, TcpExtTCPSACKReorder, TcpExtTCPRenoReorder
    case TcpExtTCPRetransFail, TcpExtTCPWqueueTooBig
    case TcpExtTCPAbortOnData, TcpExtTCPAbortOnClose, TcpExtTCPAbortOnMemory, TcpExtTCPAbortOnTimeout
    case TcpExtTCPAbortOnLinger, TcpExtTCPMemoryPressures, TcpExtTCPRcvCoalesce
    case TcpExtPruneCalled, TcpExtRcvPruned, TcpExtOfoPruned
    case TcpExtTCPOFOQueue, TcpExtTCPOFODrop, TcpExtTCPOFOMerge, TcpExtTCPChallengeACK, TcpExtTCPSYNChallenge
    case TcpExtTCPFromZeroWindowAdv, TcpExtTCPToZeroWindowAdv, TcpExtTCPWantZeroWindowAdv, TcpExtTCPSynRetrans
    case TcpExtTCPOrigDataSent, TcpExtTCPKeepAlive, TcpExtTCPDelivered, TcpExtTCPDeliveredCE
    case TcpExtTCPAutoCorking, TcpExtTCPZeroWindowDrop, TcpExtBeyondWindow
    case TcpExtTCPFastOpenActive, TcpExtTCPFastOpenActiveFail, TcpExtTCPFastOpenPassive
    case TcpExtTCPFastOpenPassiveFail, TcpExtTCPFastOpenListenOverflow, TcpExtTCPFastOpenCookieReqd
    case TcpExtTCPFastOpenBlackhole, TcpExtTCPFastOpenPassiveAltKey
    case TcpExtTCPMD5NotFound, TcpExtTCPMD5Unexpected, TcpExtTCPMD5Failure
    case TcpExtTCPAORequired, TcpExtTCPAOBad, TcpExtTCPAOKeyNotFound, TcpExtTCPAOGood, TcpExtTCPAODroppedIcmps
    case TcpExtTCPMinTTLDrop
    case TcpExtSyncookiesSent, TcpExtSyncookiesRecv, TcpExtSyncookiesFailed, TcpExtTCPReqQFullDoCookies
    case TcpExtTCPRcvQDrop, TcpExtTCPWinProbe, TcpExtTCPReqQFullDrop, TcpExtTCPSpuriousRtxHostQueues
    case IpExtInOctets, IpExtOutOctets, IpExtInBcastPkts, IpExtOutBcastPkts, IpExtInMcastPkts,
      IpExtOutMcastPkts
    case IpExtInNoRoutes
    case IpExtInCsumErrors, IpExtInNoECTPkts, IpExtInCEPkts, IpExtInECT0Pkts, IpExtInECT1Pkts
    case IpExtInTruncatedPkts, IpExtReasmOverlaps, IpExtInMcastOctets, IpExtOutMcastOctets
    case IpExtInBcastOctets, IpExtOutBcastOctets
    case ArpInPackets, ArpOutRequests, ArpOutReplies, ArpConflicts, NeighTableFulls
  }
  @usableFromInline var values: InlineArray<256, UInt64> = .init(repeating: 0)

  public init() {}

  /// Adds in place: through the subscript's getter every count would copy the whole array.
  @inlinable public mutating func count(_ name: Name, by amount: UInt64 = 1) {
    values[Int(name.rawValue)] &+= amount
  }

  /// Of a number of things there are: one is gone. In place as well.
  public mutating func uncount(_ name: Name) {
    values[Int(name.rawValue)] &-= 1
  }

  /// A message of RFC 792 came or went, by its type; types that nobody assigned have no counter of their own.
  /// Linux: `ICMPMSGIN_INC_STATS()`, `icmp_out_count()`.
  public mutating func countICMP(received type: UInt8) {
    switch type {
    case 0: count(.IcmpInEchoReps, .IcmpMsgInType0)
    case 3: count(.IcmpInDestUnreachs, .IcmpMsgInType3)
    case 4: count(.IcmpInSrcQuenchs, .IcmpMsgInType4)
    case 5: count(.IcmpInRedirects, .IcmpMsgInType5)
    case 8: count(.IcmpInEchos, .IcmpMsgInType8)
    case 11: count(.IcmpInTimeExcds, .IcmpMsgInType11)
    case 12: count(.IcmpInParmProbs, .IcmpMsgInType12)
    case 13: count(.IcmpInTimestamps, .IcmpMsgInType13)
    case 14: count(.IcmpInTimestampReps, .IcmpMsgInType14)
    case 17: count(.IcmpInAddrMasks, .IcmpMsgInType17)
    case 18: count(.IcmpInAddrMaskReps, .IcmpMsgInType18)
    default: break
    }
  }

  public mutating func countICMP(sent type: UInt8) {
    count(.IcmpOutMsgs)
    switch type {
    case 0: count(.IcmpOutEchoReps, .IcmpMsgOutType0)
    case 3: count(.IcmpOutDestUnreachs, .IcmpMsgOutType3)
    case 5: count(.IcmpOutRedirects, .IcmpMsgOutType5)
    case 8: count(.IcmpOutEchos, .IcmpMsgOutType8)
    case 11: count(.IcmpOutTimeExcds, .IcmpMsgOutType11)
    case 12: count(.IcmpOutParmProbs, .IcmpMsgOutType12)
    case 14: count(.IcmpOutTimestampReps, .IcmpMsgOutType14)
    default: break
    }
  }

  private mutating func count(_ first: Name, _ second: Name) {
    count(first)
    count(second)
  }

  public subscript(name: Name) -> UInt64 {
    values[Int(name.rawValue)]
  }

  /// Every counter with its name, in `nstat`'s order.
  public var all: [(name: String, value: UInt64)] { Name.allCases.map { ("\($0)", self[$0]) } }
}
