/// What an interface does on its own terms, `net.ipv4.conf.IFNAME`, or all of them, `net.ipv4.conf.all`. Linux:
/// `struct ipv4_devconf`.
public struct InterfaceSettings: Sendable, Equatable {
  /// `arp_ignore`: which requests are answered. 0: for every address of ours; 1: for those of the interface; 2: only if the
  /// sender is of the same network; 3: for those that are not of this host alone; 8: none.
  public var arpIgnore = 0
  /// `arp_announce`: the sender in our own requests. 0: the packet's source; 1: only if the target is of its network; 2: always
  /// the best for the target.
  public var arpAnnounce = 0
  /// `arp_notify`: addresses are announced when the interface comes up or gets another station address.
  public var arpNotify = false
  /// `arp_accept`: who announces himself becomes a neighbour. 0: nobody new; 1: everybody; 2: whoever is of our networks.
  public var arpAccept = 0
  /// `arp_filter`: only requests whose answer's route leads over the interface are answered.
  public var arpFilter = false
  /// `proxy_arp`: requests for addresses behind another interface are answered.
  public var proxyARP = false
  /// `src_valid_mark`: a packet's mark counts where it is asked whether its source is where packets to it would go.
  public var sourceValidMark = false
  /// `accept_source_route`.
  public var acceptsSourceRoute: Bool
  /// `accept_redirects`: who says that another gateway is nearer is believed.
  public var acceptsRedirects = true

  public init(acceptsSourceRoute: Bool = true) { self.acceptsSourceRoute = acceptsSourceRoute }
}

/// What holds for the interface: its own word and that for all, as Linux has it for each.
extension NetSettings {
  /// Linux: `IN_DEV_MAXCONF`.
  public var arpIgnore: Int { max(allInterfaces.arpIgnore, interface.arpIgnore) }
  public var arpAnnounce: Int { max(allInterfaces.arpAnnounce, interface.arpAnnounce) }
  public var arpAccept: Int { max(allInterfaces.arpAccept, interface.arpAccept) }
  /// Linux: `IN_DEV_ORCONF`.
  public var arpNotify: Bool { allInterfaces.arpNotify || interface.arpNotify }
  public var arpFilter: Bool { allInterfaces.arpFilter || interface.arpFilter }
  public var proxyARP: Bool { allInterfaces.proxyARP || interface.proxyARP }
  /// Linux: `IN_DEV_SRC_VMARK()`.
  public var marksSources: Bool { allInterfaces.sourceValidMark || interface.sourceValidMark }
  /// Linux: `IN_DEV_ANDCONF`.
  public var acceptsSourceRoute: Bool { allInterfaces.acceptsSourceRoute && interface.acceptsSourceRoute }
  /// Of a router both words are needed, else one is enough. Linux: `IN_DEV_RX_REDIRECTS()`.
  public var acceptsRedirects: Bool {
    forwards
      ? allInterfaces.acceptsRedirects && interface.acceptsRedirects
      : allInterfaces.acceptsRedirects || interface.acceptsRedirects
  }
}
