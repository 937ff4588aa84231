import LinuxHost
import Shard

/// What Linux's side of a TAP stack is like.
public struct TapParameters: Sendable {
  /// The TAP's name.
  public var interface: InterfaceName
  /// Linux's address on the interface; `nil` leaves the interface without one.
  public var hostAddress: IPv4Prefix?
  /// Namespace the interface is created in; `nil`: the calling thread's.
  public var namespace: String?
  /// Queue pairs, each with a shard of its own: 1 to 64.
  public var queues: Int
  /// Lend the NIC's TSO and checksum engines to the TAP (`IFF_VNET_HDR`).
  public var offload: Bool

  public init(
    interface: InterfaceName, hostAddress: IPv4Prefix? = StackConfiguration.defaultHostAddress,
    namespace: String? = nil, queues: Int = 1, offload: Bool = true
  ) {
    self.interface = interface
    self.hostAddress = hostAddress
    self.namespace = namespace
    self.queues = queues
    self.offload = offload
  }
}
