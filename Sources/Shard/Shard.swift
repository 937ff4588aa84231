import IPv4
import Ice
import Internet
import IceHardware
import IceModel
import NetDevice
import Netfilter
import SkBuff
import Sockets
import Trace
import UDP
import TCP

/// One CPU's worth of stack: every floor by value, guarded by one lock (`Shard`), run to completion by whoever
/// holds it.
///
/// Sendable: nothing in it is reached but through the lock of its `Shard`, whichever thread holds that.
struct ShardState: ~Copyable, @unchecked Sendable {
  let memory: ShardMemory
  var sockets: SocketLayer
  /// What lies below the transports.
  var host: Host
  /// The device that the NIC is driven by.
  let ethernet: InterfaceIndex
  /// The NIC that the driver's rings lead to.
  var nic: IceDevice
  var port: WirePort

  /// The frame that the NIC is putting on the wire, and the posted buffers that the wire reads into.
  var outgoing = FrameVector(capacity: 64)
  var incoming = FrameVector(capacity: 64)
  var outgoingMetadata = WireFrameMetadata()
  var incomingMetadata = WireFrameMetadata()
  /// Packets that NAPI delivered and nobody has looked at yet.
  var input = SkBuffQueue()

  /// Which of the stack's shards this is, and the mailboxes of all of them; empty when there is one shard only.
  var queue = 0
  var peers: [ShardInbox] = []
  /// Which shards have which TCP ports; `nil` when there is one shard only.
  var portOwners: PortOwners? = nil
  var packetsHandedOver: UInt64 = 0
  var handoversLost: UInt64 = 0

  /// Who is to be told when a socket's readiness changes.
  var owners = OwnerTable()
  /// Programs that the shard runs itself.
  var applications = ApplicationTable()
  /// Bytes that the program whose turn it is has moved.
  var bytesMoved = 0
  var jobs = JobTable()
  var bridges = BridgeTable()
  /// Memory that applications move bytes through.
  var scratch = ScratchBuffer()

  /// The wire would not take a frame: when to try again.
  var retryAt = Instant.distantFuture
  /// NAPI has more to do, or the loop ran out of budget: do not sleep.
  var hasMoreWork = false
  /// When the event loop will wake up by itself; `.origin` while it is awake.
  var loopWakesAt = Instant.origin
  /// Clients that trace, and that capture.
  var traceUsers = 0
  var captureUsers = 0
  /// Frames lost because the interface was down, or the kernel refused them.
  var carrierErrors: UInt64 = 0
  var lastWireError: Int32 = 0
  /// Frames can leave, as far as is known.
  var hasCarrier = true
  var notices: StackNotices? = nil
  /// It was told that frames come in from our own link-layer address.
  var hasToldOwnAddress = false
  /// Where the time of day comes from.
  let clock: StackClock
  /// What `swiftstack filter` sets, at the hooks while there are rules.
  let filter = PacketFilter()
  var hookClients: [UInt32: any HookClient] = [:]
  var lastRuleHandle: UInt32 = 0
  /// The rings are empty and the wire is gone.
  var isDismantled = false
  /// Nobody may enter any more.
  var isClosed = false
  /// The interface was removed under the stack.
  var isLinkGone = false

  /// How long to wait when the wire would not take a frame.
  static let retryInterval = Nanoseconds.microseconds(200)

  init(
    configuration: StackConfiguration, port: consuming WirePort, lendsEngines: Bool,
    seed: (UInt64, UInt64, UInt64),
    now: Instant, clock: StackClock
  ) throws(Errno) {
    self.clock = clock
    memory = ShardMemory(limit: configuration.packetMemory)
    var net = Net(
      pool: memory.pool, tracer: memory.tracer, settings: configuration.settings, seed: seed.0, now: now)
    net.timeOfDayOffset = clock.timeOfDayOffset
    let bus = IceBus(txDescriptorCount: configuration.ring, rxDescriptorCount: configuration.ring)
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
    host = Host(net: net)
    ethernet = host.link.devices.add(device)
    host.internet.hooks.name(ethernet, configuration.name)
    self.port = port
    try host.addAddress(configuration.address, on: ethernet)
    if let gateway = configuration.gateway, let anywhere = IPv4Prefix(.any, length: 0) {
      try host.addRoute(RouteEntry(anywhere, gateway: gateway))
    }
  }

  /// Makes the shard one of several.
  mutating func join(_ peers: [ShardInbox], as queue: Int, portOwners: PortOwners) {
    self.queue = queue
    self.peers = peers
    self.portOwners = portOwners
    sockets.tcp.recordPortChanges()
  }

  /// When the shard has to be entered next if nothing happens until then.
  var nextDeadline: Instant {
    if hasMoreWork { return .origin }
    var deadline = min(host.net.timers.nextDeadline ?? .distantFuture, retryAt)
    if let interrupt = nic.nextInterruptDeadline { deadline = min(deadline, interrupt) }
    return deadline
  }
}

/// A buffer that lives as long as the shard. Its contents mean nothing from one use to the next. Memory that nobody asked
/// for yet is not touched, so that a stack costs only what its programs use.
///
/// Safety: `bytes` is allocated here and freed in `deinit`; whoever uses it holds the shard's lock.
@safe
struct ScratchBuffer: ~Copyable {
  static let byteCount = 1 << 20
  private let bytes: UnsafeMutableRawBufferPointer
  private var filled = 0

  init() { unsafe bytes = .allocate(byteCount: Self.byteCount, alignment: 64) }

  /// The first `count` bytes, at most `byteCount`.
  mutating func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if count > filled { fill(count) }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
  }

  /// Bulk senders send from here: a pattern that shows where it came from, never memory of others.
  private mutating func fill(_ count: Int) {
    for index in filled..<count { unsafe bytes[index] = UInt8(truncatingIfNeeded: 0x20 &+ index % 95) }
    filled = count
  }

  deinit { unsafe bytes.deallocate() }
}
