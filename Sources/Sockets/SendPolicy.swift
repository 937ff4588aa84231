import NetNamespace
import Wire

/// Rules that see every send before its protocol does and may refuse it. Linux: `security_socket_sendmsg()`.
///
/// The first rule that fits decides; a send that no rule fits is allowed.
public struct SendPolicy: Sendable {
  /// What has to fit, and what a send that fits comes to.
  public struct Rule: Sendable {
    /// What has to fit; `nil` fits everything.
    public var kind: SocketID.Kind?
    public var socket: SocketID?
    /// The message's destination, or the connected peer. A send that has neither does not fit.
    public var destination: IPv4Prefix?
    public var ports: ClosedRange<UInt16>?
    public var byteCounts: ClosedRange<Int>?
    /// What the send fails with; `nil`: allowed, and later rules are not asked.
    public var veto: Errno?

    public init(
      kind: SocketID.Kind? = nil, socket: SocketID? = nil, destination: IPv4Prefix? = nil,
      ports: ClosedRange<UInt16>? = nil, byteCounts: ClosedRange<Int>? = nil, veto: Errno?
    ) {
      self.kind = kind
      self.socket = socket
      self.destination = destination
      self.ports = ports
      self.byteCounts = byteCounts
      self.veto = veto
    }

    func fits(_ id: SocketID, destination peer: SocketAddress?, byteCount: Int) -> Bool {
      if let kind, id.kind != kind { return false }
      if let socket, id != socket { return false }
      if let byteCounts, !byteCounts.contains(byteCount) { return false }
      if let ports {
        guard let peer, ports.contains(peer.port) else { return false }
      }
      if let destination {
        guard let address = peer?.address.v4, destination.contains(address) else { return false }
      }
      return true
    }
  }
  public var rules: [Rule] = []

  public init(rules: [Rule] = []) { self.rules = rules }

  /// The errno that the send is refused with; `nil`: allowed.
  public func veto(_ id: SocketID, destination: SocketAddress?, byteCount: Int) -> Errno? {
    for rule in rules where rule.fits(id, destination: destination, byteCount: byteCount) {
      return rule.veto
    }
    return nil
  }
}
