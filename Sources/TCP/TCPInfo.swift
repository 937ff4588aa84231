import Timers
import Wire

/// What `TCP_INFO` and `ss -ti` tell about a connection. Linux: `struct tcp_info`.
public struct TCPInfo: Sendable {
  public var state = TCPState.close
  public var congestionState = CongestionState.open
  public var local = SocketAddress(.any, port: 0)
  public var remote: SocketAddress? = nil
  public var congestionControl = ""
  public var retransmits = 0
  public var probes = 0
  public var backoff = 0
  public var hasTimestamps = false
  public var hasSACK = false
  public var hasWindowScale = false
  public var sendWindowScale = 0
  public var receiveWindowScale = 0
  public var retransmissionTimeout = Nanoseconds.zero
  public var delayedAckTimeout = Nanoseconds.zero
  public var sendMSS = 0
  public var receiveMSS = 0
  public var advertisedMSS = 0
  public var pathMTU = 0
  public var unacknowledged = 0
  public var sacked = 0
  public var lost = 0
  public var retransmitted = 0
  public var smoothedRTT = Nanoseconds.zero
  public var rttVariation = Nanoseconds.zero
  public var minimumRTT: Nanoseconds? = nil
  public var congestionWindow = 0
  public var slowStartThreshold: Int? = nil
  public var reordering = 0
  /// How often the network was seen to reorder. Linux: `tcpi_reord_seen`.
  public var reorderingSeen = 0
  public var receiveSlowStartThreshold = 0
  public var receiveSpace = 0
  public var totalRetransmissions = 0
  public var pacingBytesPerSecond: UInt64 = 0
  public var deliveryBytesPerSecond: UInt64 = 0
  public var isApplicationLimited = false
  public var bytesAcknowledged: UInt64 = 0
  public var bytesReceived: UInt64 = 0
  public var bytesSent: UInt64 = 0
  public var bytesRetransmitted: UInt64 = 0
  public var segmentsOut: UInt64 = 0
  public var segmentsIn: UInt64 = 0
  public var dataSegmentsOut: UInt64 = 0
  public var dataSegmentsIn: UInt64 = 0
  public var notSentByteCount = 0
  public var delivered: UInt64 = 0
  public var dsackDuplicates = 0
  public var outOfOrderPackets = 0
  public var sendWindow = 0
  public var receiveWindow = 0
  /// Bytes waiting: for the reader, and not yet acknowledged by the peer. For a listener: accept queue and its limit.
  public var receiveQueue = 0
  public var sendQueue = 0
  public var busyTime = Nanoseconds.zero
  public var receiveWindowLimitedTime = Nanoseconds.zero
  public var sendBufferLimitedTime = Nanoseconds.zero
  public var lastDataSent: Nanoseconds? = nil
  public var lastDataReceived: Nanoseconds? = nil
  public var sendBuffer = 0
  public var receiveBuffer = 0
  public var writeQueuedMemory = 0
  public var writeAllocatedMemory = 0
  public var receiveAllocatedMemory = 0
  /// What the retransmission timer waits for, and how long still; `nil`: not armed.
  public var timer: (name: String, remaining: Nanoseconds)? = nil

  public init() {}
}
