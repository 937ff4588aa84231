import IPv4
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// What every socket has, whatever its protocol: a connection, a listener and a datagram socket each contain one.
/// Linux: `struct sock` and `struct inet_sock`.
///
/// What a packet of an established connection touches lies here; what few sockets have, and none needs for a packet, in a
/// box that is made when it is first wanted.
public struct SocketCore: ~Copyable {
  private let addressOnly = AddressOnly()
  public let id: SocketID
  /// Both ends. Port 0: not bound; a ping socket's local port is its ICMP identifier. A remote address of "any": no peer.
  public var tuple: FourTuple
  public let account: SocketAccount
  /// The cached route. Linux: `sk_dst_cache`.
  public var route: Route?
  public var options = SocketOptions()
  /// What `bind()` asked for: stays the socket's from one connection to the next, where what `connect()`, `listen()` or a
  /// send chose is given back with the connection. Linux: `SOCK_BINDPORT_LOCK`, `SOCK_BINDADDR_LOCK`.
  public var boundTo: SocketAddress
  /// The socket's place in its protocol's port table.
  public var binding = PortBinding()
  /// `SO_SNDBUF`, `SO_RCVBUF` in bytes, as Linux doubles them. Linux: `sk_sndbuf`, `sk_rcvbuf`.
  public var sendBuffer: Int
  public var receiveBuffer: Int
  /// The size was set by `setsockopt`: nothing else changes it. Linux: `SOCK_SNDBUF_LOCK`, `SOCK_RCVBUF_LOCK`.
  public var isSendBufferFixed = false
  public var isReceiveBufferFixed = false
  /// Linux: `RCV_SHUTDOWN`, `SEND_SHUTDOWN`.
  public var receiveShutdown = false
  public var sendShutdown = false
  /// Closed by its owner: no application will read or write it again. Linux: `SOCK_DEAD`.
  public var isOrphan = false
  /// The error that the next call gets. Linux: `sk_err`.
  public var pendingError: Errno?
  /// One that the connection lives with: reported when it times out, or to who asks for SO_ERROR (RFC 1122 4.2.3.9).
  /// Linux: `sk_err_soft`.
  public var softError: Errno?
  /// What runs when it sends and connects; `nil`: nothing.
  public var programs: SocketPrograms?
  var rare: RareState?

  public init(
    _ id: SocketID, family: AddressFamily, sendBuffer: Int, receiveBuffer: Int, net: borrowing Net
  ) {
    self.id = id
    let nowhere = SocketAddress(.any(family), port: 0)
    tuple = FourTuple(local: nowhere, remote: nowhere)
    boundTo = nowhere
    account = SocketAccount(pool: net.pool, socket: id.rawValue, generation: id.generation)
    self.sendBuffer = sendBuffer
    self.receiveBuffer = receiveBuffer
  }

  /// `SO_RCVBUF`; `nil`: nobody has set it.
  public var fixedReceiveBuffer: Int? { isReceiveBufferFixed ? receiveBuffer : nil }
  public var family: AddressFamily { boundTo.address.family }
  /// Whether a port is the socket's.
  @inlinable public var isBound: Bool { binding.isHeld }
  /// The other end; `nil`: none.
  public var peer: SocketAddress? {
    get { tuple.remote.address.isAny ? nil : tuple.remote }
    set { tuple.remote = newValue ?? SocketAddress(.any(family), port: 0) }
  }

  /// Options of a listener are those of its connections, a fixed buffer and what is shut down too; a priority is not.
  /// Linux: `sk_clone_lock()`.
  public mutating func inherit(_ parent: borrowing SocketCore) {
    options = parent.options
    options.priority = 0
    programs = parent.programs
    user = parent.user
    timestamping = parent.timestamping
    arrivalReport = parent.arrivalReport
    if parent.rare != nil {
      messageReports = parent.messageReports
      bindingOptions = parent.bindingOptions
    }
    inheritArrivalClock(parent)
    tellsUnread = parent.tellsUnread
    receiveShutdown = parent.receiveShutdown
    sendShutdown = parent.sendShutdown
    isSendBufferFixed = parent.isSendBufferFixed
    isReceiveBufferFixed = parent.isReceiveBufferFixed
    sendBuffer = parent.sendBuffer
    receiveBuffer = parent.receiveBuffer
    peekOffset = parent.peekOffset
  }

  /// Nothing of one connection reaches the next: the peer, the route and what was shut down are gone, the options and
  /// what the socket is bound to stay. Linux: `tcp_disconnect()`.
  public mutating func disconnect() {
    // A port that was given back is still shown, until another takes its place. Linux: `inet_sport`.
    tuple.local.address = boundTo.address
    tuple.remote = SocketAddress(.any(family), port: 0)
    route = nil
    softError = nil
    receiveShutdown = false
    sendShutdown = false
  }

  // MARK: Errors

  /// Returns and clears the pending error. Linux: `sock_error()`.
  public mutating func takeError() -> Errno? { pendingError.take() }

  /// - Throws: the pending error, which is taken; EPIPE when the sending side is shut down.
  public mutating func checkSendable() throws(Errno) {
    if let error = takeError() { throw error }
    if sendShutdown { throw .EPIPE }
  }

  /// It has something of what few sockets have.
  public var hasRareState: Bool { rare != nil }

  /// Whether a poll shows an error: one is pending, or on the error queue.
  public var hasError: Bool { pendingError != nil || hasQueuedError }
}

/// What few sockets have.
final class RareState {
  var errorQueue: [ExtendedError] = []
  /// Groups that the socket has joined. Linux: `inet->mc_list`.
  var memberships: [GroupMembership] = []
  var multicast = MulticastOptions()
  /// The number of the next send that does not copy. Linux: `sk_zckey`.
  var nextZeroCopyID: UInt32 = 0
  /// What notifications of such sends take. Linux: `sk_omem_alloc`.
  var optionMemory = 0
  var ipOptions: SocketIPOptions?
  var flowLabel: UInt32 = 0
  var user: UInt32 = 0
  var messageReports = MessageReports()
  var bindingOptions = BindingOptions()
  /// `SO_PEEK_OFF`; negative: peeks begin at the front.
  var peekOffset: Int32 = -1
  /// `SO_TIMESTAMPING`.
  var timestamping: TimestampingFlags = []
  /// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`.
  var arrivalReport: ArrivalReport = []
  /// The number of the next stamped datagram, or of a stream the sequence number that its byte numbers count from.
  /// Linux: `sk_tskey`.
  var stampKey: UInt32 = 0
  var arrival = Instant.origin
  /// Who else asks for such times, once the socket wants to be told them.
  var arrivalClock: ArrivalClock?
  /// The socket asks; after `SO_TIMESTAMP` it does as long as it lives. Linux: `SOCK_TIMESTAMP`,
  /// `SOCK_TIMESTAMPING_RX_SOFTWARE`.
  var clockUser: ArrivalClock.User?
  var asksForLife = false
  var transmitTime: TransmitTimeOptions?
  /// `TCP_INQ`.
  var tellsUnread = false
  /// `TCP_SAVED_SYN`.
  var savedSyn: [UInt8] = []
}

extension SocketCore {
  /// Groups that the socket has joined, so that it leaves them when it closes.
  public var memberships: [GroupMembership] {
    get { rare?.memberships ?? [] }
    set { withRare { $0.memberships = newValue } }
  }
  public var multicast: MulticastOptions {
    get { rare?.multicast ?? MulticastOptions() }
    set { withRare { $0.multicast = newValue } }
  }

  /// `IP_OPTIONS`; `nil`: none.
  public var ipOptions: SocketIPOptions? {
    get { rare?.ipOptions }
    set { if newValue != nil || rare != nil { withRare { $0.ipOptions = newValue } } }
  }

  public var messageReports: MessageReports {
    get { rare?.messageReports ?? MessageReports() }
    set { withRare { $0.messageReports = newValue } }
  }

  public var bindingOptions: BindingOptions {
    get { rare?.bindingOptions ?? BindingOptions() }
    set { withRare { $0.bindingOptions = newValue } }
  }

  /// `SO_PEEK_OFF`: how many bytes in a peek begins; negative: always at the front. Linux: `sk_peek_off`.
  public var peekOffset: Int32 {
    get { rare?.peekOffset ?? -1 }
    set { if newValue != peekOffset { withRare { $0.peekOffset = newValue } } }
  }

  /// Bytes were peeked at, so that the next peek begins behind them, or read, so that it begins so much nearer to the front.
  /// Linux: `sk_peek_offset_fwd()`, `sk_peek_offset_bwd()`.
  public mutating func movePeekOffset(by byteCount: Int, isPeek: Bool) {
    guard rare != nil, peekOffset >= 0 else { return }
    peekOffset =
      isPeek ? Int32(clamping: Int(peekOffset) + byteCount) : Int32(max(0, Int(peekOffset) - byteCount))
  }
  /// Where packets go first; `nil`: there is no source route.
  public var firstHop: IPAddress? { rare?.ipOptions?.list.firstHop.map { IPAddress($0) } }
  public var isStrictRoute: Bool { rare?.ipOptions?.list.isStrictRoute ?? false }

  /// Whether the socket wants what a source sends to a group, or to anybody else, and what came in by a device.
  /// Linux: `ip_mc_sf_allow()`.
  public func accepts(_ group: IPv4Address, from source: IPv4Address, by interface: InterfaceIndex) -> Bool {
    guard group.isMulticast, let rare else { return true }
    let membership = rare.memberships.first { $0.group == group && $0.interface == interface }
    guard let membership else { return (rare.multicast.all) }
    guard let sources = membership.sources else { return membership.isExcluding }
    return sources.contains(source) != membership.isExcluding
  }

  /// The user that the socket belongs to, for rules about routing tables; 0: root. Linux: `sk_uid`.
  public var user: UInt32 {
    get { rare?.user ?? 0 }
    set { if newValue != user { withRare { $0.user = newValue } } }
  }

  /// `TCP_INQ`: each receive tells how many bytes it has left. Linux: `recvmsg_inq`.
  public var tellsUnread: Bool {
    get { rare?.tellsUnread ?? false }
    set { if newValue != tellsUnread { withRare { $0.tellsUnread = newValue } } }
  }

  /// `TCP_SAVED_SYN`: the headers of the SYN that an accepted connection began with; empty: none were kept, or they were taken.
  public var savedSyn: [UInt8] {
    get { rare?.savedSyn ?? [] }
    set { if !newValue.isEmpty || rare != nil { withRare { $0.savedSyn = newValue } } }
  }

  /// What the way of what the socket sends may depend on, but for one message's own terms.
  /// Linux: `flowi4_init_output()`.
  ///
  /// - Parameters:
  ///   - port: it is sent to; a ping socket, which sends echo requests only, has none.
  ///   - isAsked: there is something that depends on it: `Host.routesByFlow`.
  public func routingFlow(to port: UInt16, if isAsked: Bool) -> RoutingFlow {
    guard isAsked else { return RoutingFlow() }
    if id.kind == .ping {
      return .icmp(
        .echoRequest, mark: options.mark, typeOfService: options.typeOfService, user: user)
    }
    let number: IPProtocol = id.kind == .tcp ? .tcp : id.kind == .udp ? .udp : .udpLite
    return RoutingFlow(
      number, mark: options.mark, typeOfService: options.typeOfService, sourcePort: tuple.local.port,
      destinationPort: port, user: user)
  }

  mutating func withRare<Result>(_ body: (RareState) -> Result) -> Result {
    if let rare { return body(rare) }
    let made = RareState()
    rare = made
    return body(made)
  }
}
