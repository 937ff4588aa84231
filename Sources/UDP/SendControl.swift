import IPv4
import Wire

/// What the control messages of one send ask for; `nil`: what the socket's options say. Linux: `struct ipcm_cookie`
/// with `struct sockcm_cookie`.
public struct SendControl: Sendable, Equatable {
  /// `IP_TOS`, `IP_TTL`.
  public var typeOfService: UInt8? = nil
  /// Linux: `IP_TTL`; `nil`: the socket's.
  public var timeToLive: UInt8? = nil
  /// `IP_PKTINFO`: the source address.
  public var source: IPv4Address? = nil
  /// `IP_PKTINFO`: the device to send by; `.none`: as the routes say.
  public var interface = InterfaceIndex.none
  /// `SO_PRIORITY`, `SO_MARK`.
  public var priority: UInt32? = nil
  /// Linux: `SO_MARK`; `nil`: the socket's.
  public var mark: UInt32? = nil
  /// `IP_RETOPTS`: the IP options of this message, none of them among the socket's; `nil`: the socket's.
  public var options: IPv4OptionList? = nil
  /// `UDP_SEGMENT`: 0 to 65,535, else the send is EINVAL.
  public var segmentByteCount: Int? = nil

  /// `SCM_DEVMEM_DMABUF`: whose memory is sent, of a stream; `nil` or 0: none's.
  public var deviceMemory: UInt32? = nil

  public init() {}
}
