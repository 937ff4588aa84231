/// Why a packet was thrown away. Linux: `enum skb_drop_reason`.
@frozen
public enum DropReason: UInt8, Sendable, CaseIterable {
  case notSpecified
  case noSocket
  case packetTooSmall
  case tcpChecksum
  case udpChecksum
  case ipChecksum
  case ipHeader
  case ipNoProtocol
  case ipInvalidSource
  case ipNotForUs
  case ipOutNoRoute
  case ipPolicy
  case fragmentTimeout
  case fragmentInvalid
  case fragmentTooFar
  case reassemblyMemory
  case otherHost
  case unknownEtherType
  case icmpInvalid
  case icmpRateLimited
  case neighbourQueueFull
  case neighbourFailed
  case neighbourDead
  case qdiscDrop
  case qdiscReset
  case deviceDown
  /// What the device said of a received frame cannot be.
  case deviceHeader
  case deviceDMAMapping
  case deviceFull
  case deviceTooLong
  case gsoFailed
  case noMemory
  case socketReceiveBuffer
  case socketClosed
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
  case tcpClose
}
