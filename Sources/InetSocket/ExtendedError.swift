import IPv4
import NetNamespace
import Wire

/// One entry of a socket's error queue. Linux: `struct sock_extended_err` with the offender's address.
public struct ExtendedError: Sendable, Equatable {
  /// `ee_origin`.
  @frozen
  public enum Origin: UInt8, Sendable {
    case local = 1
    case icmp = 2
    /// No error: the time at which a packet came by. Linux: `SO_EE_ORIGIN_TIMESTAMPING`.
    case timestamping = 4
    /// No error: sends that did not copy are done with their memory. Linux: `SO_EE_ORIGIN_ZEROCOPY`.
    case zeroCopy = 5
  }
  /// The error. Linux: `ee_errno`.
  public var errno: Errno
  /// Who found it. Linux: `ee_origin`.
  public var origin: Origin
  /// ICMP type and code; 0 for a local error.
  public var kind: UInt8
  /// The ICMP code. Linux: `ee_code`.
  public var code: UInt8
  /// Path MTU for EMSGSIZE; the number of the first send that is done. Linux: `ee_info`.
  public var info: UInt32
  /// The number of the last send that is done. Linux: `ee_data`.
  public var data: UInt32 = 0
  /// Who sent the ICMP message; `nil` for a local error.
  public var offender: IPv4Address?
  /// Where the datagram that failed was going; `nil` where nothing failed.
  public var destination: SocketAddress?
  /// What the report quoted of the datagram's bytes, which a receive from the error queue returns.
  public var payload: [UInt8] = []
  /// When it came or happened, in nanoseconds since 1970 in UT; 0: not known.
  public var time: UInt64 = 0
  /// The payload is how a connection was, not what was sent. Linux: `opt_stats`.
  var isStatistics = false
  /// What brought it, which the options of the one who asks tell of.
  var bearer: ReportBearer?

  public init(
    errno: Errno, origin: Origin, kind: UInt8, code: UInt8, info: UInt32, offender: IPv4Address?,
    destination: SocketAddress?
  ) {
    self.errno = errno
    self.origin = origin
    self.kind = kind
    self.code = code
    self.info = info
    self.offender = offender
    self.destination = destination
  }
}

extension ExtendedError {
  /// An error as the error queue shows it. A neighbour that does not answer is reported as the ICMP message that
  /// Linux sends to itself then; a datagram that is too long, as local.
  public init(_ error: TransportError) {
    self.init(
      errno: error.errno, origin: error.isLocal && error.errno == .EMSGSIZE ? .local : .icmp,
      kind: error.kind.rawValue, code: error.code,
      info: error.gateway?.rawValue ?? UInt32(error.mtu ?? 0), offender: error.offender,
      destination: error.remote)
    payload = error.payload
    bearer = error.bearer
  }
}
