import SkBuff
import Tables
import Timers

/// A rate limit: bytes leave as tokens come in, and up to a burst of tokens is saved. Linux: `tbf`, with the byte-limited
/// first-in first-out queue inside it.
public struct TokenBucketFilter: ~Copyable {
  /// What `tc qdisc replace ... tbf` sets.
  public struct Parameters: Sendable, Equatable {
    /// Bytes a second.
    public var rate: UInt64
    /// Bytes that may go at once, and the longest packet that is not cut.
    public var burst: Int
    /// Bytes that may wait.
    public var limit: Int
    /// A second bucket that bounds how fast a burst goes: bytes a second, and bytes of its bucket.
    public var peak: Peak?

    /// `peakrate` and `mtu`.
    public struct Peak: Sendable, Equatable {
      public var rate: UInt64
      public var mtu: Int
    }
  }

  private var parameters: Parameters
  private var waiting = SkBuffQueue()
  public private(set) var byteCount = 0
  /// Tokens, in time that sending takes, when they were last counted.
  private var tokens: Int64
  private var peakTokens: Int64
  private var counted: Instant

  public init(_ parameters: Parameters, now: Instant) {
    self.parameters = parameters
    tokens = parameters.bucket
    peakTokens = parameters.peakBucket
    counted = now
  }

  public var count: Int { waiting.count }
  public var configuration: Parameters { parameters }

  /// Other parameters for the packets that wait; the buckets are full. What waits has to fit the new ones as what comes does: a
  /// packet that is longer than the bucket would never go, and stop all behind it. Linux: `tbf_change()`.
  ///
  /// - Parameter statistics: where it counts what does not fit.
  public mutating func change(to parameters: Parameters, now: Instant, statistics: inout QdiscStatistics) {
    self.parameters = parameters
    fill(now: now)
    var old = SkBuffQueue()
    old.append(contentsOf: &waiting)
    byteCount = 0
    while let skb = old.popFirst() { _ = enqueue(skb, statistics: &statistics) }
  }

  private mutating func fill(now: Instant) {
    tokens = parameters.bucket
    peakTokens = parameters.peakBucket
    counted = now
  }

  /// Takes a packet in. One that stands for several and is larger than the bucket is cut; what is still larger would never
  /// go, and is dropped. Linux: `tbf_enqueue()`, `tbf_segment()`.
  public mutating func enqueue(
    _ skb: consuming SkBuff, statistics: inout QdiscStatistics
  ) -> XmitResult {
    let size = skb.wireSize
    if size.byteCount <= parameters.longestPacket { return append(skb, size.byteCount, &statistics) }
    guard skb.isGSO, size.longestFrame <= parameters.longestPacket else {
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .dropped
    }
    var segments = SkBuffQueue()
    guard GenericSegmentation.segment(skb, features: [.scatterGather, .checksum], into: &segments) else {
      statistics.dropped += 1
      return .dropped
    }
    var result = XmitResult.dropped
    while let segment = segments.popFirst() {
      let byteCount = segment.length
      if append(segment, byteCount, &statistics) == .success { result = .success }
    }
    return result
  }

  private mutating func append(
    _ skb: consuming SkBuff, _ count: Int, _ statistics: inout QdiscStatistics
  ) -> XmitResult {
    guard byteCount + count <= parameters.limit else {
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .dropped
    }
    byteCount += count
    waiting.append(skb)
    return .success
  }

  /// Linux: `tbf_dequeue()`.
  public mutating func dequeue(now: Instant, statistics: inout QdiscStatistics) -> Dequeued {
    guard let first = waiting.first else { return .empty }
    let length = waiting.withPacket(at: first) { $0.wireSize.byteCount }
    let passed = max(0, min((now - counted).rawValue, parameters.bucket))
    let left = min(tokens + passed, parameters.bucket) - parameters.sendingTime(length)
    var peakLeft: Int64 = 0
    if let peak = parameters.peak {
      peakLeft =
        min(peakTokens + passed, parameters.peakBucket) - Parameters.time(of: length, at: peak.rate)
    }
    guard left >= 0, peakLeft >= 0 else {
      statistics.overlimits += 1
      return .notBefore(now + Nanoseconds(max(-left, -peakLeft)))
    }
    guard let skb = waiting.popFirst() else { return .empty }
    byteCount -= length
    tokens = left
    peakTokens = peakLeft
    counted = now
    return .packet(skb)
  }

  /// Drops every packet and fills the buckets. Linux: `tbf_reset()`.
  public mutating func reset(now: Instant) {
    while let skb = waiting.popFirst() { skb.drop(.qdiscReset) }
    byteCount = 0
    fill(now: now)
  }
}

extension TokenBucketFilter.Parameters {
  /// Nanoseconds that so many bytes take, rounded down. Linux: `psched_l2t_ns()`.
  static func time(of byteCount: Int, at rate: UInt64) -> Int64 {
    Int64(UInt64(byteCount) * 1_000_000_000 / rate)
  }
  func sendingTime(_ byteCount: Int) -> Int64 { Self.time(of: byteCount, at: rate) }
  var bucket: Int64 { sendingTime(burst) }
  var peakBucket: Int64 { peak.map { Self.time(of: $0.mtu, at: $0.rate) } ?? 0 }
  var longestPacket: Int { min(burst, peak?.mtu ?? burst) }

  /// What `init(parsing:)` takes, in any order.
  static let usage = "tbf rate RATE burst BYTES latency TIME | limit BYTES [peakrate RATE mtu BYTES]"

  /// The parameters, also by their other names, and as they are printed.
  private static let names = [
    "rate": "rate", "burst": "burst", "buffer": "burst", "maxburst": "burst", "limit": "limit",
    "latency": "latency", "lat": "latency", "peakrate": "peakrate", "mtu": "mtu", "minburst": "mtu",
  ]

  /// iproute2: `tbf_parse_opt()`.
  init(parsing words: inout Words) throws(WordError) {
    var rate: UInt64?
    var burst: Int?
    var limit: Int?
    var latency: Nanoseconds?
    var peakRate: UInt64?
    var mtu: Int?
    while let word = words.next() {
      guard let name = Self.names[word] else {
        throw words.wrong(
          "unknown parameter \"\(word)\": expected rate, burst, limit, latency, peakrate or mtu")
      }
      try words.once(name)
      switch name {
      case "rate": rate = try words.value(of: word, .rate)
      case "burst": burst = try words.value(of: word, .size)
      case "limit": limit = try words.value(of: word, .size)
      case "latency": latency = try words.value(of: word, .time)
      case "peakrate": peakRate = try words.value(of: word, .rate)
      default: mtu = try words.value(of: word, .size)
      }
    }
    guard let rate else { throw words.wrong("\"rate\" is missing: expected a rate such as 10mbit") }
    guard let burst else { throw words.wrong("\"burst\" is missing: expected a size such as 10kb") }
    guard (limit == nil) != (latency == nil) else {
      throw words.wrong(
        limit == nil
          ? "either \"limit\" or \"latency\" is required" : "\"limit\" and \"latency\" exclude each other")
    }
    guard (peakRate == nil) == (mtu == nil) else {
      throw words.wrong("\"peakrate\" and \"mtu\" go together")
    }
    self.rate = rate
    self.burst = burst
    self.limit = 0
    if let peakRate, let mtu {
      guard peakRate > rate else {
        throw words.wrong(
          "illegal \"peakrate\" \(QuantityText.rate(bytesPerSecond: peakRate)): expected more than the rate, "
            + QuantityText.rate(bytesPerSecond: rate))
      }
      peak = Peak(rate: peakRate, mtu: mtu)
    }
    self.limit = limit ?? bytes(in: latency ?? .zero)
  }

  /// What may wait so that nobody waits longer than `latency`, the bucket empty.
  private func bytes(in latency: Nanoseconds) -> Int {
    let seconds = Double(latency.rawValue) / 1e9
    var bytes = Double(rate) * seconds + Double(burst)
    if let peak { bytes = min(bytes, Double(peak.rate) * seconds + Double(peak.mtu)) }
    return Int(min(bytes, 1_073_741_824))
  }

  /// As `tc qdisc show`: the limit as the longest wait that it makes, when it is longer than the bucket.
  var description: String {
    var text = "rate \(QuantityText.rate(bytesPerSecond: rate)) burst \(QuantityText.size(burst))"
    var wait = Double(limit - burst) / Double(rate)
    if let peak {
      text +=
        " peakrate \(QuantityText.rate(bytesPerSecond: peak.rate)) minburst \(QuantityText.size(peak.mtu))"
      wait = max(wait, Double(limit - peak.mtu) / Double(peak.rate))
    }
    if wait > 0 {
      return text + " lat \(QuantityText.time(Nanoseconds(Int64((wait * 1e6).rounded()) * 1000)))"
    }
    return text + " limit \(QuantityText.size(limit))"
  }
}
