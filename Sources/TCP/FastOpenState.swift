import Wire

/// What a connection has to do with Fast Open (RFC 7413).
struct FastOpenState: OptionSet {
  var rawValue: UInt16
  /// Our SYN carried the option, a cookie or the request for one. Linux: `syn_fastopen`.
  static let offered = FastOpenState(rawValue: 1)
  /// In its experimental form. Linux: `syn_fastopen_exp`.
  static let offeredExperimental = FastOpenState(rawValue: 2)
  /// Our SYN carried data. Linux: `syn_data`.
  static let synData = FastOpenState(rawValue: 4)
  /// Data in the SYN was taken, by the peer or here. Linux: `syn_data_acked`.
  static let synDataAcked = FastOpenState(rawValue: 8)
  /// The first connection after a pause for a black hole. Linux: `syn_fastopen_ch`.
  static let isTrial = FastOpenState(rawValue: 16)
  /// `connect()` has returned, and the first send opens the connection. Linux: `DEFER_CONNECT`.
  static let isDeferred = FastOpenState(rawValue: 32)
  /// A listener's child that has data, and not yet the ACK of its SYN-ACK. Linux: `fastopen_rsk`.
  static let isPassive = FastOpenState(rawValue: 64)
  /// When it ended, nothing but a FIN behind a gap had come. Linux: `tcp_fastopen_active_disable_ofo_check()`.
  static let hadOnlyFin = FastOpenState(rawValue: 128)
  /// It was made before its handshake was over. Linux: `TCPI_OPT_TFO_CHILD`.
  static let isChild = FastOpenState(rawValue: 256)
}

/// Why data did not go in a SYN, or was not taken. Linux: `enum tcp_fastopen_client_fail`.
public enum FastOpenFailure: UInt8, Sendable {
  case none
  case cookieUnavailable
  case dataNotAcknowledged
  case synRetransmitted
}

/// What a SYN carries beside itself.
enum FastOpenOffer {
  /// Neither option nor data.
  case none
  case request(FastOpenCookie)
  /// Data, and the cookie that lets it in; `nil`: it goes without. Segments of the peer have so many bytes at most; 0: that is not known.
  case data(FastOpenCookie?, mss: Int)
}
