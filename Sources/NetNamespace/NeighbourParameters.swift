import Timers

/// The neighbour table's settings, with Linux's names and defaults (`net.ipv4.neigh.default`).
public struct NeighbourParameters: Sendable, Equatable {
  /// `base_reachable_time_ms`; the time used is drawn from 0.5 to 1.5 times it (RFC 4861 section 6.3.2).
  public var baseReachableTime = Nanoseconds.seconds(30)
  /// `delay_first_probe_time`.
  public var delayProbeTime = Nanoseconds.seconds(5)
  /// `retrans_time_ms`.
  public var retransmitTime = Nanoseconds.seconds(1)
  /// `ucast_solicit`, `app_solicit`, `mcast_solicit`: questions to the known address, to a program
  /// (`Stack.takeNeighbourQueries()`), and to everybody, in this order.
  public var unicastProbes = 3
  public var applicationProbes = 0
  public var multicastProbes = 3
  /// `mcast_resolicit`: questions to everybody about a neighbour that was known and does not answer any more.
  public var multicastReprobes = 0
  /// `unres_qlen_bytes`: truesize of the packets that wait for one neighbour.
  public var queueByteLimit = 212_992
  /// `gc_thresh1` to `gc_thresh3`: below the first nothing is collected; above the second for more than 5 s, or at
  /// the third, a new entry needs a collection first.
  public var leastCollected = 128
  public var softLimit = 512
  public var hardLimit = 1024
  /// `gc_stale_time`.
  public var staleTime = Nanoseconds.seconds(60)
  /// `locktime`: how long an address that was learned is not overridden by another answer.
  public var lockTime = Nanoseconds.seconds(1)
  /// `proxy_delay`: an answer in another's name waits up to so long. `proxy_qlen`: most of them that wait.
  public var proxyDelay = Nanoseconds.milliseconds(800)
  public var proxyQueueLength = 64

  public init() {}
}
