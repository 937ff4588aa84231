/// Who the stack is.
public struct StackReport: Codable, Equatable, Sendable {
  /// The interface.
  public var interface: String
  /// The stack's first address, with its prefix length.
  public var address: String
  /// Linux's address on the interface, with its prefix length; `nil`: none.
  public var hostAddress: String?
  /// The stack's station address.
  public var macAddress: String
  /// Bytes of the largest IP packet.
  public var mtu: Int
  /// Queue pairs, each with a shard of its own.
  public var queues: Int
  /// The process that the stack runs in.
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
  /// Its number among the stack's interfaces. Linux: `ifindex`.
  public var index: Int
  /// The interface's name.
  public var device: String
  /// What it sends comes back at once. Linux: `IFF_LOOPBACK`.
  public var isLoopback: Bool
  /// Bytes.
  public var mtu: Int
  /// The stack's station address.
  public var macAddress: String
  /// Whether packets come and go. Linux: `IFF_UP`.
  public var isUp: Bool
  /// Neighbours are asked for their station addresses. Linux: not `IFF_NOARP`.
  public var resolvesAddresses: Bool
  /// The kind of its queueing discipline.
  public var qdisc: String
  /// Packets that the queueing discipline holds.
  public var transmitQueueLength: Int
  /// The stack's addresses with their prefix lengths, in the order they were added.
  public var addresses: [String]
  /// What has come in and gone out, of all queues.
  public var received: LinkCounts
  /// As `received`.
  public var sent: LinkCounts
  public init(
    index: Int, device: String, isLoopback: Bool, mtu: Int, macAddress: String, isUp: Bool,
    resolvesAddresses: Bool = true, qdisc: String, transmitQueueLength: Int, addresses: [String],
    received: LinkCounts, sent: LinkCounts
  ) {
    self.resolvesAddresses = resolvesAddresses
    self.index = index
    self.device = device
    self.isLoopback = isLoopback
    self.received = received
    self.sent = sent
    self.mtu = mtu
    self.macAddress = macAddress
    self.isUp = isUp
    self.qdisc = qdisc
    self.transmitQueueLength = transmitQueueLength
    self.addresses = addresses
  }
}

/// What passed an interface in one direction, as `ip -s link` shows it.
public struct LinkCounts: Codable, Equatable, Sendable {
  /// Bytes, link-layer headers included but on a loopback.
  public var bytes: UInt64
  /// Packets, as the wire counts them.
  public var packets: UInt64
  /// Packets that were thrown away at the interface.
  public var dropped: UInt64
  public init(bytes: UInt64 = 0, packets: UInt64 = 0, dropped: UInt64 = 0) {
    self.bytes = bytes
    self.packets = packets
    self.dropped = dropped
  }

  /// Adds what another queue counted.
  public static func + (a: LinkCounts, b: LinkCounts) -> LinkCounts {
    LinkCounts(
      bytes: a.bytes &+ b.bytes, packets: a.packets &+ b.packets, dropped: a.dropped &+ b.dropped)
  }
}

/// A setting, as `sysctl` shows it.
public struct SettingReport: Codable, Equatable, Sendable {
  /// The name, as `net.ipv4.ip_default_ttl`.
  public var name: String
  /// The value, as `sysctl` prints it.
  public var value: String
  public init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// A line of `ip neigh`.
public struct NeighbourReport: Codable, Equatable, Sendable {
  /// IP address.
  public var address: String
  /// The interface it is on.
  public var device: String
  /// Its station address; `nil`: not known.
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

/// One of several next hops of a route.
public struct NextHopReport: Codable, Equatable, Sendable {
  /// `nil`: destinations are on the link.
  public var gateway: String?
  /// The interface.
  public var device: String
  /// Its share among the others.
  public var weight: Int
  /// Its link is down: no flow gets it.
  public var isDead: Bool
  /// The program that packets go through.
  public var tunnel: String?
  public init(gateway: String?, device: String, weight: Int, isDead: Bool, tunnel: String? = nil) {
    self.tunnel = tunnel
    self.gateway = gateway
    self.device = device
    self.weight = weight
    self.isDead = isDead
  }
}

/// A line of `ip route`.
public struct RouteReport: Codable, Equatable, Sendable {
  /// `unicast`, `blackhole`, `unreachable`, `prohibit`, `local`, `broadcast`.
  public var kind: String
  /// A prefix, or `default`.
  public var destination: String
  /// The next hop; `nil`: the destination itself is on the link.
  public var gateway: String?
  /// The interface; `nil` for routes that refuse.
  public var device: String?
  /// `link` or `global`, `host`.
  public var scope: String
  /// The source address that senders get who have none; `nil`: chosen by the network.
  public var source: String?
  /// Of two routes to a prefix the one with the least is taken.
  public var metric: Int
  /// Bytes of the largest packet this way; `nil`: the link's.
  public var mtu: Int?
  /// The routing table; `nil` for the main one.
  public var table: String?
  /// Where there are several next hops, which flows are divided among; `gateway` and `device` are `nil` then.
  public var nextHops: [NextHopReport]?
  /// The program that packets go through; `nil`: none.
  public var tunnel: String?
  public init(
    kind: String, destination: String, gateway: String?, device: String?, scope: String, source: String?,
    metric: Int, mtu: Int? = nil, table: String? = nil, nextHops: [NextHopReport]? = nil,
    tunnel: String? = nil
  ) {
    self.tunnel = tunnel
    self.table = table
    self.nextHops = nextHops
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
  /// Its name, as `pfifo_fast`.
  public var kind: String
  /// `8001:`; `0:` for the one that the device came with.
  public var handle: String
  /// Where it stands: `root` or `ingress`.
  public var place: String
  /// The parameters, as tc prints them.
  public var options: String
  /// The interface.
  public var device: String
  /// Bytes that went to the device.
  public var sentBytes: UInt64
  /// Packets that went to the device.
  public var sentPackets: UInt64
  /// Packets it had no room for.
  public var dropped: UInt64
  /// Times it had to hold back.
  public var overlimits: UInt64
  /// Packets that the device gave back.
  public var requeues: UInt64
  /// Bytes that wait.
  public var backlogBytes: UInt64
  /// Packets that wait.
  public var backlogPackets: UInt64
  /// BQL: bytes the device may hold, and holds.
  public var limit: UInt64
  /// BQL: bytes the device holds.
  public var inFlight: UInt64
  public init(
    kind: String, handle: String = "0:", place: String = "root", options: String = "", device: String,
    sentBytes: UInt64 = 0,
    sentPackets: UInt64 = 0, dropped: UInt64 = 0,
    overlimits: UInt64 = 0, requeues: UInt64 = 0, backlogBytes: UInt64 = 0, backlogPackets: UInt64 = 0,
    limit: UInt64 = 0, inFlight: UInt64 = 0
  ) {
    self.kind = kind
    self.handle = handle
    self.place = place
    self.options = options
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
  /// The interface.
  public var device: String
  /// Descriptors of the transmit ring.
  public var transmitRing: Int
  /// Descriptors of the receive ring.
  public var receiveRing: Int
  /// The most descriptors that a ring can have.
  public var maximumRing: Int
  /// Features that are on, `ethtool -k` names.
  public var features: [String]
  /// Features that are asked for, and off because they need another one.
  public var requestedFeatures: [String]
  /// As `ethtool -S`.
  public var statistics: [CounterReport]
  /// Faults that it commits, in the words of `nic fault`.
  public var faults: [String]
  public init(
    device: String, transmitRing: Int, receiveRing: Int, maximumRing: Int, features: [String],
    requestedFeatures: [String] = [], statistics: [CounterReport], faults: [String] = []
  ) {
    self.requestedFeatures = requestedFeatures
    self.faults = faults
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
  /// The name, as `nstat` and `ethtool -S` have it.
  public var name: String
  /// How often.
  public var value: UInt64
  /// A counter with its name.
  public init(_ name: String, _ value: UInt64) {
    self.name = name
    self.value = value
  }
}

/// A tracepoint hit.
public struct TraceReport: Codable, Equatable, Sendable {
  /// Nanoseconds on the stack's clock.
  public var time: UInt64
  /// The shard's number.
  public var queue: Int
  /// The tracepoint: the name of the Linux function.
  public var point: String
  /// The packet's serial number; 0: none.
  public var skb: UInt32
  /// The socket's identifier; 0: none.
  public var socket: UInt32
  /// What the point says, each with its name.
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
  /// What it is.
  public var name: String
  /// The number.
  public var value: UInt64
  /// What the value is called, where it stands for something: a drop reason, a device's event.
  public var text: String?
  /// An argument with its name.
  public init(_ name: String, _ value: UInt64, text: String? = nil) {
    self.name = name
    self.value = value
    self.text = text
  }
}

/// What a capture has kept, and what came too fast for it.
public struct CaptureReport: Codable, Equatable, Sendable {
  /// Frames that were written.
  public var frames: Int
  /// Frames that came too fast.
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
  /// What happened.
  public var event: Event
  /// The ICMP sequence number of the request, counted on beyond 65,535.
  public var sequence: Int
  /// Bytes of the ICMP message.
  public var byteCount: Int
  /// Of the reply; `nil`: there is none.
  public var timeToLive: Int?
  /// Who answered, or was asked; empty when the request did not leave this stack.
  public var from: String
  /// From request to reply; `nil`: no reply.
  public var milliseconds: Double?
  /// What went wrong; `nil`: nothing.
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
  /// Payload bytes.
  public var bytes: UInt64
  /// How long it took.
  public var seconds: Double
  /// Payload bits in a second.
  public var bitsPerSecond: Double
  /// Segments sent again.
  public var retransmits: UInt64
  /// Connections side by side.
  public var streams: Int
  public init(bytes: UInt64, seconds: Double, bitsPerSecond: Double, retransmits: UInt64, streams: Int) {
    self.bytes = bytes
    self.seconds = seconds
    self.bitsPerSecond = bitsPerSecond
    self.retransmits = retransmits
    self.streams = streams
  }
}
