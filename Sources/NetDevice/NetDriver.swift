import Ice
import NetNamespace
import SkBuff
import Wire

/// The driver of a device: one of those that there are, in place. A driver that is added is a file of its own and a case
/// in here; the device knows none of them. Linux: `struct net_device_ops`, with NAPI's poll.
///
/// A struct and not an enum, since what an enum holds cannot be changed in place.
public struct NetDriver: ~Copyable {
  private enum Kind {
    case ice
    case loopback
  }
  private let kind: Kind
  private var iceDriver: IceDriver?
  private var loopbackDriver = LoopbackDriver()

  public init(_ driver: consuming IceDriver) {
    kind = .ice
    iceDriver = consume driver
  }

  public init(_ driver: LoopbackDriver) {
    kind = .loopback
    iceDriver = nil
    loopbackDriver = driver
  }

  /// What one poll found. Linux: what a NAPI poll function does and returns.
  struct Poll {
    var completion = TxCompletion()
    /// Nothing is left to do until the next interrupt.
    var isComplete = true
    /// The device has stopped the queue; only `reset` starts it again.
    var hasFailed = false
  }

  /// Linux: `IFF_LOOPBACK`.
  @inline(__always) var isLoopback: Bool { kind == .loopback }

  /// Hands a packet, its data at the Ethernet header, to the hardware. Linux: `ndo_start_xmit`.
  ///
  /// - Parameter ringDoorbell: false when more packets of the same batch follow.
  @inline(__always)
  mutating func startXmit(_ skb: consuming SkBuff, ringDoorbell: Bool, net: inout Net) -> NetdevTx {
    switch kind {
    case .ice: iceDriver!.startXmit(skb, ringDoorbell: ringDoorbell, net: &net)
    case .loopback: loopbackDriver.startXmit(skb, net: &net)
    }
  }

  /// The driver takes no packets until completions have made room. Linux: `netif_xmit_stopped()`.
  @inline(__always)
  public var isQueueStopped: Bool {
    switch kind {
    case .ice: ice.isQueueStopped
    case .loopback: false
    }
  }

  /// What the interrupt leads to. Received packets are added to `queue`, their data at the network header.
  @inline(__always)
  mutating func poll(budget: Int, into queue: inout SkBuffQueue, net: inout Net) -> Poll {
    switch kind {
    case .ice:
      let result = iceDriver!.poll(budget: budget, into: &queue, net: &net)
      return Poll(
        completion: result.tx, isComplete: result.isComplete, hasFailed: result.maliciousDriverEvent != nil)
    // It has no interrupt: what it sends is received at once.
    case .loopback: return Poll()
    }
  }

  /// Largest and smallest payload of a segment that the hardware cuts. Linux: `ndo_features_check`.
  @inline(__always)
  var segmentByteCounts: ClosedRange<Int> {
    switch kind {
    case .ice: IceDriver.minimumSegmentByteCount...IceDriver.maximumSegmentByteCount
    case .loopback: LoopbackDriver.segmentByteCounts
    }
  }

  /// The largest MTU as it is set up. Linux: `dev->max_mtu`.
  var maximumMTU: Int {
    switch kind {
    case .ice: ice.configuration.mtu
    case .loopback: LoopbackDriver.mtu
    }
  }

  /// Linux: `ndo_set_mac_address`.
  mutating func setMACAddress(_ address: MACAddress) {
    switch kind {
    case .ice: iceDriver!.setMACAddress(address)
    // It has no filter.
    case .loopback: break
    }
  }

  /// What was on its way is lost, and the queue runs again. Linux: `ndo_tx_timeout`.
  mutating func reset(net: inout Net) {
    switch kind {
    case .ice: _ = iceDriver!.reset(net: &net)
    case .loopback: break
    }
  }

  /// Lets go of every packet. Linux: `ndo_stop`.
  mutating func close() {
    switch kind {
    case .ice: iceDriver!.close()
    case .loopback: break
    }
  }

  /// What only a NIC driven by `ice` has: rings, statistics, registers.
  ///
  /// - Precondition: the device is one.
  public var ice: IceDriver {
    _read {
      switch iceDriver {
      case .some(let driver): yield driver
      case .none: preconditionFailure("a device is asked for its NIC that has none")
      }
    }
    _modify { yield &iceDriver! }
  }
}
