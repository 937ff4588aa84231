import CLinux
import Glibc
import Wire

/// One unicast IPv4 route of the main table (RTM_NEWROUTE).
public struct RouteDescription: Equatable, Sendable {
  public var destination: IPv4Prefix
  /// `nil` for directly connected networks.
  public var gateway: IPv4Address?
  public var linkIndex: Int32?
  public var preferredSource: IPv4Address?
  /// RTA_PRIORITY; the lowest wins.
  public var metric: UInt32

  init?(_ message: NetlinkMessage) {
    guard Int(message.type) == RTM_NEWROUTE, let fixed = message.fixedPart(as: rtmsg.self),
      Int32(fixed.rtm_family) == AF_INET, Int(fixed.rtm_type) == RTN_UNICAST
    else { return nil }
    let attributes = message.attributes(after: rtmsg.self)
    let table = attributes.u32(Int(RTA_TABLE.rawValue)) ?? UInt32(fixed.rtm_table)
    guard table == UInt32(RT_TABLE_MAIN.rawValue),
      let destination = IPv4Prefix(
        IPv4Address(attributes.u32BigEndian(Int(RTA_DST.rawValue)) ?? 0), length: Int(fixed.rtm_dst_len))
    else { return nil }
    self.destination = destination
    gateway = attributes.u32BigEndian(Int(RTA_GATEWAY.rawValue)).map { IPv4Address($0) }
    linkIndex = attributes.u32(Int(RTA_OIF.rawValue)).map { Int32(bitPattern: $0) }
    preferredSource = attributes.u32BigEndian(Int(RTA_PREFSRC.rawValue)).map { IPv4Address($0) }
    metric = attributes.u32(Int(RTA_PRIORITY.rawValue)) ?? 0
  }
}

/// IPv4 routes: RTM_GETROUTE, RTM_NEWROUTE.
extension NetlinkSocket {
  /// The unicast routes of the main table.
  public mutating func routes() throws(LinuxError) -> [RouteDescription] {
    var request = NetlinkRequest(RTM_GETROUTE, flags: NLM_F_DUMP)
    var fixed = rtmsg()
    fixed.rtm_family = UInt8(AF_INET)
    request.putFixedPart(fixed)
    return try transact(request, "list", "the routes").compactMap(RouteDescription.init)
  }

  /// Adds a route to the main table, through a gateway or straight out of the interface.
  public mutating func addRoute(
    to destination: IPv4Prefix, via gateway: IPv4Address? = nil, on link: LinkDescription
  ) throws(LinuxError) {
    var request = NetlinkRequest(RTM_NEWROUTE, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    var fixed = rtmsg()
    fixed.rtm_family = UInt8(AF_INET)
    fixed.rtm_dst_len = UInt8(destination.length)
    fixed.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
    fixed.rtm_protocol = UInt8(RTPROT_STATIC)
    fixed.rtm_scope = UInt8((gateway == nil ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE).rawValue)
    fixed.rtm_type = UInt8(RTN_UNICAST)
    request.putFixedPart(fixed)
    if destination.length > 0 { request.put(Int(RTA_DST.rawValue), destination.network.rawValue.byteSwapped) }
    if let gateway { request.put(Int(RTA_GATEWAY.rawValue), gateway.rawValue.byteSwapped) }
    request.put(Int(RTA_OIF.rawValue), UInt32(bitPattern: link.index))
    let path = gateway.map { " via \($0)" } ?? ""
    _ = try transact(request, "add the route to \(destination)\(path) on", link.name.text)
  }
}
