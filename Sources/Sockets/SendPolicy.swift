import NetNamespace
import Wire

/// Rules that see every send before its protocol does and may refuse it. Linux: `security_socket_sendmsg()`.
///
/// The first rule that fits decides; a send that no rule fits is allowed.
public struct SendPolicy: Sendable {
  /// What has to fit, and what a send that fits comes to.
  public struct Rule: Sendable, Equatable {
    /// What has to fit; `nil` fits everything.
    public var kind: SocketID.Kind?
    /// The one socket whose sends fit.
    public var socket: SocketID?
    /// The message's destination, or the connected peer. A send that has neither does not fit.
    public var destination: IPv4Prefix?
    /// The destination's port.
    public var ports: ClosedRange<UInt16>?
    /// Bytes of the message.
    public var byteCounts: ClosedRange<Int>?
    /// What the send fails with; `nil`: allowed, and later rules are not asked.
    public var veto: Errno?
    /// Names the rule; given when it is added to a stack.
    public var handle: UInt32 = 0
    /// Sends that the rule decided about.
    public var sendCount: UInt64 = 0

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
  /// In the order in which they are asked.
  public var rules: [Rule] = []
  /// Who is asked when the rules allow a send, in the order in which they came.
  public var inspectors: [MessageInspector] = []
  var isInUse: Bool { !rules.isEmpty || !inspectors.isEmpty }

  public init(rules: [Rule] = []) { self.rules = rules }

  /// The errno that the send is refused with; `nil`: allowed.
  public mutating func veto(_ id: SocketID, destination: SocketAddress?, byteCount: Int) -> Errno? {
    for index in rules.indices where rules[index].fits(id, destination: destination, byteCount: byteCount) {
      rules[index].sendCount &+= 1
      return rules[index].veto
    }
    return nil
  }
}
