import IPv4
import Ice
import Internet
import IceHardware
import IceModel
import InetSocket
import NetDevice
import Netfilter
import SkBuff
import Sockets
import Tables
import Trace
import UDP
import TCP

/// One CPU's worth of stack: every floor by value, run to completion by whoever holds it. It has no thread, lock or clock of
/// its own: the time comes in with each entry, frames go to a `Wire`.
///
/// Sendable: nothing in it is reached but by whoever holds it. Where threads share it, that is behind one lock.
public struct Shard: ~Copyable, @unchecked Sendable {
  package let memory: ShardMemory
  package var sockets: SocketLayer
  /// What lies below the transports.
  package var host: Host
  /// The device that the NIC is driven by.
  package let ethernet: InterfaceIndex
  /// The NIC that the driver's rings lead to.
  package var nic: IceDevice
  package var port: WirePort

  /// The NICs of further interfaces.
  package var cards = UniqueArray<Card>(capacity: 1)

  /// The frame that the NIC is putting on the wire, and the posted buffers that the wire reads into.
  package var outgoing = FrameVector(capacity: 64)
  package var incoming = FrameVector(capacity: 64)
  package var outgoingMetadata = WireFrameMetadata()
  package var incomingMetadata = WireFrameMetadata()
  /// Packets that NAPI delivered and nobody has looked at yet.
  package var input = SkBuffQueue()

  /// Which of the stack's shards this is, and the mailboxes of all of them; empty when there is one shard only.
  package var queue = 0
  package var peers: [any Mailbox] = []
  /// Which shards have which TCP ports and connections, and where fragments meet; `nil` when there is one shard only.
  package var steering: SteeringTable? = nil
  package var packetsHandedOver: UInt64 = 0
  package var handoversLost: UInt64 = 0

  /// Who is to be told when a socket's readiness changes.
  package var owners = OwnerTable()
  /// Sockets that pollers watch.
  var polls = PollTable()
  /// Programs that the shard runs itself.
  package var programs = ProgramTable()
  /// Bytes that the program whose turn it is has moved.
  package var bytesMoved = 0
  /// Memory that programs move bytes through.
  package var scratch = ScratchBuffer()

  /// Who puts frames out.
  package var duty = DrainPolicy()
  /// The wire would not take a frame: when to try again.
  package var retryAt = Instant.distantFuture
  /// Sees to it that the shard is entered for the NIC's interrupt and for `retryAt`.
  var deviceTimer = TimerSlot()
  /// NAPI has more to do, or the loop ran out of budget: do not sleep.
  package var hasMoreWork = false
  /// When the event loop will wake up by itself; `.origin` while it is awake.
  package var loopWakesAt = Instant.origin
  /// Clients that trace, and that capture.
  package var traceUsers = 0
  package var captureUsers: [InterfaceIndex: Int] = [:]
  /// Frames lost because the interface was down, or the kernel refused them.
  package var carrierErrors: UInt64 = 0
  package var lastWireError: Int32 = 0
  /// Frames can leave, as far as is known.
  package var hasCarrier = true
  /// What whoever runs the stack is to be told, taken by whoever leaves the shard.
  package var notices: [ShardNotice] = []
  /// It was told that frames come in from our own link-layer address.
  package var hasToldOwnAddress = false
  /// What the time of day is ahead of the shard's clock, nanoseconds; `nil`: nobody knows.
  package let readTimeOfDayOffset: @Sendable () -> UInt64?
  /// When a turn reads it again.
  var readsTimeOfDayAt = Instant.origin
  /// What `swiftstack filter` sets, at the hooks while there are rules.
  package let filter = PacketFilter()
  package var hookClients: [UInt32: any HookClient] = [:]
  package var egressClients: [UInt32: any EgressClient] = [:]
  /// Somebody wants connections tracked, whatever the rules need.
  package var tracksConnections = false
  package var lastRuleHandle: UInt32 = 0
  /// Memory that only the NIC reads.
  package var deviceMemory: [BoundMemory] = []
  /// The rings are empty and the wire is gone.
  package var isDismantled = false
  /// Nobody may enter any more.
  package var isClosed = false
  /// The interface was removed under the stack.
  package var isLinkGone = false

  /// How long to wait when the wire would not take a frame.
  package static let retryInterval = Nanoseconds.microseconds(200)

  package init(
    _ configuration: StackConfiguration, wire: Wire, links: [Wire] = [], lendsEngines: Bool,
    seed: (UInt64, UInt64, UInt64), now: Instant, timeOfDayOffset: @escaping @Sendable () -> UInt64?
  ) throws(Errno) {
    readTimeOfDayOffset = timeOfDayOffset
    precondition(links.count == configuration.links.count, "every interface has a wire")
    memory = ShardMemory(limit: configuration.packetMemory)
    var net = Net(
      pool: memory.pool, tracer: memory.tracer, settings: configuration.settings, seed: seed.0, now: now)
    net.apply(configuration.settings)
    net.timeOfDayOffset = timeOfDayOffset()
    let rings = configuration.ringSizes
    let bus = IceBus(txDescriptorCount: rings.transmit, rxDescriptorCount: rings.receive)
    nic = IceDevice(
      bus: bus,
      configuration: IceDevice.Configuration(
        macAddress: configuration.macAddress, engines: lendsEngines ? .lent : .own,
        maxFrameByteCount: configuration.mtu + 14))
    var driver = IceDriver(
      bus: bus,
      configuration: IceDriver.Configuration(
        macAddress: configuration.macAddress, mtu: configuration.mtu, receivesLargeFrames: lendsEngines))
    driver.open(net: &net)
    let device = NetDevice(
      configuration: NetDeviceConfiguration(
        name: configuration.name, macAddress: configuration.macAddress, mtu: configuration.mtu),
      driver: driver, net: &net)
    sockets = SocketLayer(net: net, secret: (seed.1, seed.2))
    sockets.privileges = configuration.privileges
    host = Host(net: net)
    ethernet = host.link.devices.add(device)
    host.internet.hooks.name(ethernet, configuration.name)
    port = WirePort(wire)
    stopsTransmit(of: bus)
    if configuration.probesAddress { return }
    try host.addAddress(configuration.address, on: ethernet)
    for (link, wire) in zip(configuration.links, links) {
      let card = Card.make(link, wire: wire, rings: rings, lendsEngines: lendsEngines, host: &host)
      let interface = card.interface
      _ = cards.append(card)
      host.internet.hooks.name(interface, link.name)
      try host.addAddress(link.address, on: interface)
    }
    if let gateway = configuration.gateway, let anywhere = IPv4Prefix(.any, length: 0) {
      try host.addRoute(RouteEntry(anywhere, gateway: gateway))
    }
  }

  /// Has the driver wait for the wire before it takes frames back. The bus does not keep the wire.
  func stopsTransmit(of bus: IceBus) {
    unsafe bus.stopTransmit = { [weak wire = port.wire] in wire?.finishCarrying() }
  }

  /// Makes the shard one of several.
  package mutating func join(_ peers: [any Mailbox], as queue: Int, sharing tables: SharedTables) {
    self.queue = queue
    self.peers = peers
    steering = tables.steering
    sockets.tcp.share(
      SharedPorts(users: tables.steering.users, listeners: tables.steering.listeners, shard: queue))
    sockets.tcp.ownFastOpenKeys = tables.fastOpenKeys
    sockets.udp.table.share(tables.datagrams, shard: queue)
    sockets.ping.table.share(tables.pings, shard: queue)
    sockets.udpLite.table.share(tables.liteDatagrams, shard: queue)
    host.internet.share(tables.identifications, tables.groups, tables.connections, shard: queue)
  }

  /// As `nextDeadline`, for whoever would sleep until then: the wire has word to wake them.
  package var settledDeadline: Instant {
    if duty.carriedCount > 0 && !port.announceOutcomes() { return .origin }
    return nextDeadline
  }

  /// When the shard has to be entered next if nothing happens until then.
  package var nextDeadline: Instant {
    isClosed ? .distantFuture : hasMoreWork ? .origin : host.net.timers.nextDeadline ?? .distantFuture
  }
}
