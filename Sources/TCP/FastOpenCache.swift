import InetSocket
import NetNamespace
import Timers
import Wire

/// What a client keeps of servers for Fast Open: their cookies, the MSS that bounds data in a SYN, and whether paths have
/// lost such connections (RFC 7413 section 4.1.3). Linux: `struct tcp_fastopen_metrics`, `tfo_active_disable_stamp`.
struct FastOpenCache {
  struct Peers: Hashable {
    let local: IPAddress
    let remote: IPAddress
    init(_ tuple: FourTuple) {
      local = tuple.local.address
      remote = tuple.remote.address
    }
  }
  struct Entry {
    var cookie: FastOpenCookie?
    /// 0: not known.
    var mss = 0
    var form = Form.unknown
  }
  /// Which form of the option the next request has. Linux: `try_exp`.
  enum Form: UInt8 {
    case unknown, experimental, standard
  }

  /// Peers that are remembered; the one known longest makes room.
  static let limit = 4096

  private var entries: [Peers: Entry] = [:]
  /// Those that have entries, in a ring that begins at `oldest` once it is full.
  private var order: [Peers] = []
  private var oldest = 0
  private var blackholes = 0
  private var pausedAt = Instant.origin

  subscript(tuple: FourTuple) -> Entry? { entries[Peers(tuple)] }

  /// What the peer's SYN-ACK says. Linux: `tcp_fastopen_cache_set()`.
  ///
  /// - Parameter next: the form to try when there is still no cookie.
  mutating func learn(_ tuple: FourTuple, mss: Int, cookie: FastOpenCookie?, next: Form) {
    let peers = Peers(tuple)
    var entry = entries[peers] ?? Entry()
    if mss > 0 { entry.mss = mss }
    if let cookie, !cookie.isRequest {
      entry.cookie = cookie
    } else if next.rawValue > entry.form.rawValue, entry.cookie == nil {
      entry.form = next
    }
    guard entries.updateValue(entry, forKey: peers) == nil else { return }
    guard order.count == Self.limit else { return order.append(peers) }
    entries[order[oldest]] = nil
    order[oldest] = peers
    oldest = (oldest + 1) % Self.limit
  }

  /// Forgets every peer. Linux: `ip tcp_metrics flush`.
  mutating func forgetAll() { self = FastOpenCache() }

  // MARK: Black holes

  /// A path seems to lose connections with data in the SYN: pause. Linux: `tcp_fastopen_active_disable()`.
  mutating func pause(net: inout Net) {
    guard net.settings.tcpFastOpenBlackholeTimeout > .zero else { return }
    pausedAt = net.now
    blackholes += 1
    net.counters.count(.TcpExtTCPFastOpenBlackhole)
  }

  /// How the pause stands: each one in a row is twice as long, up to 64 times. Linux:
  /// `tcp_fastopen_active_should_disable()`.
  func pauseState(net: borrowing Net) -> PauseState {
    let span = net.settings.tcpFastOpenBlackholeTimeout
    guard span > .zero, blackholes > 0 else { return .none }
    return net.now < pausedAt + (span << min(blackholes - 1, 6)) ? .pausing : .trial
  }
  enum PauseState {
    case none, pausing
    /// The pause is over, and not yet known to have helped.
    case trial
  }

  /// A trial went well.
  mutating func endTrial() { blackholes = 0 }
}
