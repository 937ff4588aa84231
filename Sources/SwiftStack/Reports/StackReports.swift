/// Who the stack is.
public struct StackReport: Codable, Equatable, Sendable {
  public var interface: String
  public var address: String
  public var hostAddress: String?
  public var macAddress: String
  public var mtu: Int
  public var queues: Int
  public var processID: Int32
  public init(
    interface: String, address: String, hostAddress: String?, macAddress: String, mtu: Int, queues: Int,
    processID: Int32
  ) {
    self.interface = interface
    self.address = address
    self.hostAddress = hostAddress
    self.macAddress = macAddress
    self.mtu = mtu
    self.queues = queues
    self.processID = processID
  }
}

/// What `ip addr` and `ip link` show of an interface.
public struct InterfaceReport: Codable, Equatable, Sendable {
  public var device: String
  /// Bytes.
  public var mtu: Int
  public var macAddress: String
  public var isUp: Bool
  public var qdisc: String
  /// Packets that the queueing discipline holds.
  public var transmitQueueLength: Int
  /// The stack's addresses with their prefix lengths, in the order they were added.
  public var addresses: [String]
  public init(
    device: String, mtu: Int, macAddress: String, isUp: Bool, qdisc: String, transmitQueueLength: Int,
    addresses: [String]
  ) {
    self.device = device
    self.mtu = mtu
    self.macAddress = macAddress
    self.isUp = isUp
    self.qdisc = qdisc
    self.transmitQueueLength = transmitQueueLength
    self.addresses = addresses
  }
}

/// A setting, as `sysctl` shows it.
public struct SettingReport: Codable, Equatable, Sendable {
  public var name: String
  public var value: String
  public init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// A line of `ip neigh`.
public struct NeighbourReport: Codable, Equatable, Sendable {
  public var address: String
  public var device: String
  public var macAddress: String?
  /// `REACHABLE`, `STALE` ...
  public var state: String
  public init(address: String, device: String, macAddress: String?, state: String) {
    self.address = address
    self.device = device
    self.macAddress = macAddress
    self.state = state
  }
}

/// A line of `ip route`.
public struct RouteReport: Codable, Equatable, Sendable {
  /// `unicast`, `blackhole`, `unreachable`, `prohibit`, `local`, `broadcast`.
  public var kind: String
  /// A prefix, or `default`.
  public var destination: String
  public var gateway: String?
  public var device: String?
  /// `link` or `global`, `host`.
  public var scope: String
  public var source: String?
  public var metric: Int
  public var mtu: Int?
  public init(
    kind: String, destination: String, gateway: String?, device: String?, scope: String, source: String?,
    metric: Int, mtu: Int? = nil
  ) {
    self.kind = kind
    self.destination = destination
    self.gateway = gateway
    self.device = device
    self.scope = scope
    self.source = source
    self.metric = metric
    self.mtu = mtu
  }
}

/// A qdisc with what `tc -s qdisc` shows, and its device's byte queue limit.
public struct QdiscReport: Codable, Equatable, Sendable {
  public var kind: String
  public var device: String
  public var sentBytes: UInt64
  public var sentPackets: UInt64
  public var dropped: UInt64
  public var overlimits: UInt64
  public var requeues: UInt64
  public var backlogBytes: UInt64
  public var backlogPackets: UInt64
  /// BQL: bytes the device may hold, and holds.
  public var limit: UInt64
  public var inFlight: UInt64
  public init(
    kind: String, device: String, sentBytes: UInt64 = 0, sentPackets: UInt64 = 0, dropped: UInt64 = 0,
    overlimits: UInt64 = 0, requeues: UInt64 = 0, backlogBytes: UInt64 = 0, backlogPackets: UInt64 = 0,
    limit: UInt64 = 0, inFlight: UInt64 = 0
  ) {
    self.kind = kind
    self.device = device
    self.sentBytes = sentBytes
    self.sentPackets = sentPackets
    self.dropped = dropped
    self.overlimits = overlimits
    self.requeues = requeues
    self.backlogBytes = backlogBytes
    self.backlogPackets = backlogPackets
    self.limit = limit
    self.inFlight = inFlight
  }
}

/// The NIC of one queue: ring sizes as `ethtool -g`, statistics as `ethtool -S`.
public struct NICReport: Codable, Equatable, Sendable {
  public var device: String
  public var transmitRing: Int
  public var receiveRing: Int
  public var maximumRing: Int
  /// Features that are on, `ethtool -k` names.
  public var features: [String]
  public var statistics: [CounterReport]
  public init(
    device: String, transmitRing: Int, receiveRing: Int, maximumRing: Int, features: [String],
    statistics: [CounterReport]
  ) {
    self.device = device
    self.transmitRing = transmitRing
    self.receiveRing = receiveRing
    self.maximumRing = maximumRing
    self.features = features
    self.statistics = statistics
  }
}

/// A counter with its name, as `nstat` and `ethtool -S` print them.
public struct CounterReport: Codable, Equatable, Sendable {
  public var name: String
  public var value: UInt64
  public init(_ name: String, _ value: UInt64) {
    self.name = name
    self.value = value
  }
}

/// A tracepoint hit.
public struct TraceReport: Codable, Equatable, Sendable {
  /// Nanoseconds on the stack's clock.
  public var time: UInt64
  public var queue: Int
  public var point: String
  public var skb: UInt32
  public var socket: UInt32
  public var arguments: [TraceArgument]
  public init(
    time: UInt64, queue: Int, point: String, skb: UInt32, socket: UInt32, arguments: [TraceArgument]
  ) {
    self.time = time
    self.queue = queue
    self.point = point
    self.skb = skb
    self.socket = socket
    self.arguments = arguments
  }
}

/// What a tracepoint says about its packet: a number with its name.
public struct TraceArgument: Codable, Equatable, Sendable {
  public var name: String
  public var value: UInt64
  /// What the value is called, where it stands for something: a drop reason, a device's event.
  public var text: String?
  public init(_ name: String, _ value: UInt64, text: String? = nil) {
    self.name = name
    self.value = value
    self.text = text
  }
}

/// What a capture has kept, and what came too fast for it.
public struct CaptureReport: Codable, Equatable, Sendable {
  public var frames: Int
  public var dropped: UInt64
  public init(frames: Int, dropped: UInt64) {
    self.frames = frames
    self.dropped = dropped
  }
}

/// One thing that happened to a ping.
public struct PingReport: Codable, Equatable, Sendable {
  /// What happened.
  public enum Event: String, Codable, Sendable {
    case sent
    case reply
    /// A second reply to the same request.
    case duplicate
    /// `text` says what went wrong with the request.
    case failed
  }
  public var event: Event
  public var sequence: Int
  /// Bytes of the ICMP message.
  public var byteCount: Int
  public var timeToLive: Int?
  public var from: String
  public var milliseconds: Double?
  public var text: String?
  public init(
    event: Event, sequence: Int, byteCount: Int, timeToLive: Int? = nil, from: String,
    milliseconds: Double? = nil, text: String? = nil
  ) {
    self.event = event
    self.sequence = sequence
    self.byteCount = byteCount
    self.timeToLive = timeToLive
    self.from = from
    self.milliseconds = milliseconds
    self.text = text
  }
}

/// What `perf` measured.
public struct PerfReport: Codable, Equatable, Sendable {
  public var bytes: UInt64
  public var seconds: Double
  public var bitsPerSecond: Double
  public var retransmits: UInt64
  public var streams: Int
  public init(bytes: UInt64, seconds: Double, bitsPerSecond: Double, retransmits: UInt64, streams: Int) {
    self.bytes = bytes
    self.seconds = seconds
    self.bitsPerSecond = bitsPerSecond
    self.retransmits = retransmits
    self.streams = streams
  }
}
