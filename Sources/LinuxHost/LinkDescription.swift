import CLinux
import Glibc
import Wire

/// A network interface as the kernel describes it (RTM_NEWLINK).
public struct LinkDescription: Equatable, Sendable {
  public var index: Int32
  public var name: InterfaceName
  /// IFLA_INFO_KIND: `tun` for both TUN and TAP, `veth`, `bridge`; `nil` for hardware and loopback.
  public var kind: String?
  /// Set when `kind` is `tun`.
  public var tun: TunDescription?
  /// Bytes.
  public var mtu: Int
  public var flags: LinkFlags
  /// `nil` for interfaces without an Ethernet address.
  public var hardwareAddress: MACAddress?
  /// Frames a TAP's queue holds for its reader: `txqueuelen`.
  public var transmitQueueLength: Int

  public var isTap: Bool { tun?.isTap ?? false }
}

/// IFLA_INFO_DATA of a TUN or TAP.
public struct TunDescription: Equatable, Sendable {
  /// IFF_TAP, Ethernet frames; else IFF_TUN.
  public var isTap: Bool
  /// Stays when its last queue is closed: made by `ip tuntap add`.
  public var isPersistent: Bool
  public var isMultiQueue: Bool
  public var hasVirtioNetHeader: Bool
  /// Each frame has `struct tun_pi` in front.
  public var hasPacketInfo: Bool
  /// Queues held open now; `nil` for single-queue devices, where the kernel does not tell.
  public var queueCount: Int?
}

/// IFF_* of an interface.
public struct LinkFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// IFF_UP: configured up.
  public static let up = LinkFlags(rawValue: 0x1)
  public static let loopback = LinkFlags(rawValue: 0x8)
  /// IFF_RUNNING: up, and something is plugged in.
  public static let running = LinkFlags(rawValue: 0x40)
  /// IFF_LOWER_UP
  package static let lowerUp = LinkFlags(rawValue: 0x10000)
}

extension LinkDescription {
  /// `nil` for a message that is not a well-formed link.
  init?(_ message: NetlinkMessage) {
    guard Int(message.type) == RTM_NEWLINK, let fixed = message.fixedPart(as: ifinfomsg.self) else {
      return nil
    }
    let attributes = message.attributes(after: ifinfomsg.self)
    guard let name = attributes.string(IFLA_IFNAME) else { return nil }
    index = fixed.ifi_index
    self.name = InterfaceName(fromKernel: name)
    flags = LinkFlags(rawValue: fixed.ifi_flags)
    mtu = Int(attributes.u32(IFLA_MTU) ?? 0)
    transmitQueueLength = Int(attributes.u32(IFLA_TXQLEN) ?? 0)
    if fixed.ifi_type == UInt16(ARPHRD_ETHER), let bytes = attributes.bytes(IFLA_ADDRESS), bytes.count == 6 {
      hardwareAddress = MACAddress(bytes.reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
    }
    let info = attributes.nested(IFLA_LINKINFO)
    kind = info?.string(IFLA_INFO_KIND)
    if kind == "tun", let data = info?.nested(IFLA_INFO_DATA) {
      tun = TunDescription(
        isTap: data.u8(IFLA_TUN_TYPE) == UInt8(IFF_TAP), isPersistent: data.u8(IFLA_TUN_PERSIST) == 1,
        isMultiQueue: data.u8(IFLA_TUN_MULTI_QUEUE) == 1, hasVirtioNetHeader: data.u8(IFLA_TUN_VNET_HDR) == 1,
        hasPacketInfo: data.u8(IFLA_TUN_PI) == 1,
        queueCount: data.u32(IFLA_TUN_NUM_QUEUES).map(Int.init))
    }
  }
}
