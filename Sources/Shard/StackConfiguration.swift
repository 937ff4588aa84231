import NetNamespace
import SkBuff
import Sockets
import Wire

/// Who a stack is and how large its rings are; the same on a TAP and on a simulated wire.
public struct StackConfiguration: Sendable {
  /// Interface name, for reports.
  public var name: String
  /// The stack's address and its network.
  public var address: IPv4Prefix
  /// Next hop of the default route; `nil`: none.
  public var gateway: IPv4Address?
  /// The stack's station address. One that nobody chose is 02:00:00:00:00:00 plus the host's part of the IP address, so
  /// that no two stacks of a network have the same.
  public var macAddress: MACAddress {
    get {
      chosenMACAddress
        ?? MACAddress(0x0200_0000_0000 | UInt64(address.address.rawValue ^ address.network.rawValue))
    }
    set { chosenMACAddress = newValue }
  }
  private var chosenMACAddress: MACAddress?
  /// Bytes of the largest IP packet, 68 to 9702.
  public var mtu: Int
  /// Descriptors of each NIC ring, 64 to 8160, a multiple of 32. `nil`: 1024, and the rings for receiving of several queues
  /// share as many, at least 64 for each: a buffer that seldom has its turn is far from the core when it comes.
  public var ring: Int?
  /// How many shards the stack has.
  package var queueCount = 1
  /// sysctls.
  public var settings = NetSettings()
  /// `settings` with what nobody has set and follows from the rest.
  package var wholeSettings: NetSettings {
    var whole = settings
    if whole.tcpMemory == nil {
      let levels = SkBuffPool.levels(limit: packetMemory)
      let page = SkBuffPool.pageByteCount
      whole.tcpMemory = (levels.low / page, levels.pressure / page, levels.high / page)
    }
    return whole
  }
  /// Most bytes of packet memory for each shard, in `packetMemoryRange`.
  public var packetMemory = 512 << 20
  /// Tell the neighbours at the start who has the address (RFC 5227 section 2.3).
  public var announcesAddress = true
  /// Ask whether another station has the address before it is used, which takes 4 to 7 seconds (RFC 5227 section 2.1). One
  /// that is taken is not used; `Stack.takeAddressConflicts()` tells.
  public var probesAddress = false
  /// What the sockets' owner may do beyond the ordinary, fixed from the start. Linux: the capabilities of the process.
  public var privileges: SocketPrivileges = [.netAdmin, .netRaw]
  /// Answer on echo, discard, daytime and chargen.
  public var services = false
  /// Further interfaces, which a router has.
  public var links: [LinkConfiguration] = []

  /// The NIC's limits. Linux: `ICE_MAX_MTU`, `ETH_MIN_MTU`.
  public static let mtuRange = 68...9702
  /// Linux: `ICE_MIN_NUM_DESC`, `ICE_MAX_NUM_DESC`.
  public static let ringRange = 64...8160
  /// The least fills the rings of the largest NIC and leaves something for sockets.
  public static let packetMemoryRange = 4 << 20...1 << 40
  /// Linux: `MAX_TAP_QUEUES` is 256; a shard each has no use for that many.
  public static let queueRange = 1...64
  /// The stack's address when none is given: 10.0.0.2/24.
  public static let defaultAddress = IPv4Prefix(IPv4Address(10, 0, 0, 2), length: 24)!
  /// Linux's address when none is given: 10.0.0.1/24.
  public static let defaultHostAddress = IPv4Prefix(IPv4Address(10, 0, 0, 1), length: 24)!

  public init(
    name: String = "sim0", address: IPv4Prefix = Self.defaultAddress, gateway: IPv4Address? = nil,
    macAddress: MACAddress? = nil, mtu: Int = 1500, ring: Int? = nil
  ) {
    self.name = name
    self.address = address
    self.gateway = gateway
    chosenMACAddress = macAddress
    self.mtu = mtu
    self.ring = ring
  }

  /// Descriptors of a shard's rings.
  var ringSizes: (transmit: Int, receive: Int) {
    if let ring { return (ring, ring) }
    return (1024, max(1024 / queueCount / 32 * 32, 64))
  }

  /// Says what is wrong, a sentence with the value in it.
  ///
  /// - Parameter queues: how many shards the stack will have.
  public func validate(queues: Int = 1) throws(StackError) {
    guard Self.queueRange.contains(queues) else {
      throw StackError("\(queues) queues are not possible: 1 to 64")
    }
    guard settings.localPorts.count >= queues else {
      throw StackError(
        "the local ports \(settings.localPorts.lowerBound) to \(settings.localPorts.upperBound) are too few for "
          + "\(queues) queues: each needs one of its own")
    }
    guard Self.packetMemoryRange.contains(packetMemory) else {
      throw StackError("packet memory of \(packetMemory) bytes is not possible: 4 MiB to 1 TiB")
    }
    guard Self.mtuRange.contains(mtu) else {
      throw StackError("MTU \(mtu) is out of range: the NIC takes 68 to 9702 bytes")
    }
    if let ring, !Self.ringRange.contains(ring) || ring % 32 != 0 {
      throw StackError("ring size \(ring) is not possible: 64 to 8160 descriptors, a multiple of 32")
    }
    guard macAddress.isValidStation else {
      throw StackError(
        "MAC address \(macAddress) cannot be a station's: it is zero or a group address; "
          + "try 02:00:00:00:00:02")
    }
    try Self.checkHost(address, "address")
    try validateLinks()
    guard let gateway else { return }
    guard address.contains(gateway) else {
      throw StackError("gateway \(gateway) is not in the stack's network \(address)")
    }
    guard gateway != address.address else {
      throw StackError("gateway \(gateway) is the stack's own address")
    }
  }

  private func validateLinks() throws(StackError) {
    var names = [name, "lo"]
    for link in links {
      guard !names.contains(link.name), !link.name.isEmpty else {
        throw StackError("two interfaces cannot both be called \"\(link.name)\"")
      }
      names.append(link.name)
      guard Self.mtuRange.contains(link.mtu) else {
        throw StackError("MTU \(link.mtu) of \(link.name) is out of range: the NIC takes 68 to 9702 bytes")
      }
      guard link.macAddress.isValidStation else {
        throw StackError("MAC address \(link.macAddress) of \(link.name) cannot be a station's")
      }
      try Self.checkHost(link.address, "address of \(link.name)")
    }
    guard links.count <= Self.linkLimit else {
      throw StackError("\(links.count) further interfaces are not possible: at most \(Self.linkLimit)")
    }
  }

  /// Most further interfaces.
  public static let linkLimit = 16

  /// Whether an interface can have this address.
  package static func checkHost(_ prefix: IPv4Prefix, _ name: String) throws(StackError) {
    let address = prefix.address
    if address.isAny || address.isLoopback || address.isMulticast || address.isBroadcast {
      throw StackError("\(name) \(prefix) is not an address that a host can have")
    }
    guard prefix.length >= 1 else {
      throw StackError("\(name) \(prefix): a prefix length is 1 to 32")
    }
    if prefix.length < 31, address == prefix.network {
      throw StackError("\(name) \(prefix) is the network's own address; take one inside it")
    }
    if let broadcast = prefix.broadcast, address == broadcast {
      throw StackError("\(name) \(prefix) is the network's broadcast address; take one inside it")
    }
  }
}

/// A further interface of a stack: each of its shards has one queue of it, too.
public struct LinkConfiguration: Sendable, Equatable {
  /// The interface's name.
  public var name: String
  /// The stack's address there and its network.
  public var address: IPv4Prefix
  /// The stack's station address there; one that nobody chose is made from the IP address, as the first interface's.
  public var macAddress: MACAddress {
    get {
      chosenMACAddress
        ?? MACAddress(0x0200_0100_0000 | UInt64(address.address.rawValue ^ address.network.rawValue))
    }
    set { chosenMACAddress = newValue }
  }
  private var chosenMACAddress: MACAddress?
  /// Bytes of the largest IP packet.
  public var mtu: Int
  /// Linux's address on a TAP; `nil`: none.
  public var hostAddress: IPv4Prefix?
  /// The namespace that a TAP is created in; `nil`: that of the first one.
  public var namespace: String?

  public init(
    name: String, address: IPv4Prefix, macAddress: MACAddress? = nil, mtu: Int = 1500,
    hostAddress: IPv4Prefix? = nil, namespace: String? = nil
  ) {
    self.name = name
    self.address = address
    chosenMACAddress = macAddress
    self.mtu = mtu
    self.hostAddress = hostAddress
    self.namespace = namespace
  }
}

/// What was wrong with a request to the stack as a whole, a sentence.
public struct StackError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The sentence.
  public var description: String
  /// The error that Linux has for it; `nil`: none.
  public var code: Errno?
  /// An error with its sentence.
  public init(_ description: String, code: Errno? = nil) {
    self.description = description
    self.code = code
  }
}
