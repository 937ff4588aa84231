import CLinux
import Glibc

/// A TAP interface with its queues, opened in the calling thread's network namespace. Hand the
/// queues out with `takeQueue()`; those still here are closed with this value.
///
/// Linux: `drivers/net/tun.c`, Documentation/networking/tuntap.rst.
public struct TapDevice: ~Copyable, Sendable {
  static let path = "/dev/net/tun"
  /// MAX_TAP_QUEUES
  public static let mostQueues = 256

  public let name: InterfaceName
  public let queueCount: Int
  /// What the kernel will hand over unfinished; `nil` without a virtio-net header.
  public let offloads: TapOffloads?
  /// Bytes before every frame, in both directions: 12 or 0.
  public var headerByteCount: Int { offloads == nil ? 0 : VirtioNetHeader.byteCount }

  /// The virtio-net header's size that an attached interface had; `nil` when it was left alone.
  public let foundHeaderByteCount: Int?

  /// Owned descriptors of the queues not yet taken, the last one first.
  private var remaining: [Int32]

  deinit {
    for number in remaining { _ = close(number) }
  }

  /// The next queue, non-blocking; `nil` when all are taken.
  public mutating func takeQueue() -> TapQueue? {
    remaining.popLast().map { TapQueue(OwnedDescriptor(owning: $0)) }
  }

  /// Another descriptor of the next queue, which stays attached while it is open.
  public func duplicateQueue() throws(LinuxError) -> TapQueue {
    guard let number = remaining.last else { throw LinuxError(EBADF, "duplicate a queue of", name.text) }
    let copy = clinux_fcntl(number, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw .last("duplicate a queue of", name.text) }
    return TapQueue(OwnedDescriptor(owning: copy))
  }

  /// Where the interface can be attached to once more, in the namespace that the thread is in now.
  public static func spare() throws(LinuxError) -> TapSpare { TapSpare(try openCharacterDevice()) }

  private static func headerSize(of descriptor: borrowing OwnedDescriptor) -> Int? {
    var size: Int32 = 0
    // Safe: one Int32 is what the shim writes.
    return unsafe clinux_tun_get_header_size(descriptor.rawValue, &size) == 0 ? Int(size) : nil
  }

  /// Creates the interface, or attaches to it, and opens all its queues. Nothing stays behind on error.
  public static func open(_ configuration: TapConfiguration) throws(LinuxError) -> TapDevice {
    precondition(
      (1...mostQueues).contains(configuration.queueCount), "A TAP has between 1 and 256 queues.")
    var flags = IFF_TAP | IFF_NO_PI
    if configuration.queueCount > 1 { flags |= IFF_MULTI_QUEUE }
    if configuration.offloads != nil { flags |= IFF_VNET_HDR }

    let first = try openFirst(configuration, flags)
    let name = configuration.name
    var offloads: TapOffloads?
    let found = configuration.offloads == nil ? nil : headerSize(of: first)
    if let wanted = configuration.offloads { offloads = try lendEngines(first, wanted, name) }
    var device = TapDevice(name, queueCount: configuration.queueCount, offloads, found, first)
    while device.remaining.count < configuration.queueCount {
      let next = try openCharacterDevice()
      try attach(next, name, flags)
      device.remaining.insert(next.release(), at: 0)
    }
    return device
  }

  private init(
    _ name: InterfaceName, queueCount: Int, _ offloads: TapOffloads?, _ foundHeaderByteCount: Int?,
    _ first: consuming OwnedDescriptor
  ) {
    self.foundHeaderByteCount = foundHeaderByteCount
    self.name = name
    self.queueCount = queueCount
    self.offloads = offloads
    remaining = [first.release()]
  }

  private static func openFirst(
    _ configuration: TapConfiguration, _ flags: Int32
  ) throws(LinuxError) -> OwnedDescriptor {
    let descriptor = try openCharacterDevice()
    let name = configuration.name
    do {
      // First exclusively: only so is a second daemon on a multi-queue TAP noticed.
      try attach(descriptor, name, flags | IFF_TUN_EXCL)
      return descriptor
    } catch {
      guard error.code == EBUSY || error.code == EINVAL else { throw error }
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: name) else { throw error }
      try TapConflict.check(link, against: configuration)
    }
    // An existing, idle TAP. The kernel refuses it itself if a single-queue one is in use after all.
    try attach(descriptor, name, flags)
    return descriptor
  }

  private static func openCharacterDevice() throws(LinuxError) -> OwnedDescriptor {
    do {
      return try OwnedDescriptor.open(path, flags: O_RDWR | O_NONBLOCK)
    } catch {
      throw TapConflict.openError(error.code)
    }
  }

  fileprivate static func attach(
    _ descriptor: borrowing OwnedDescriptor, _ name: InterfaceName, _ flags: Int32
  ) throws(LinuxError) {
    var room = [CChar](repeating: 0, count: InterfaceName.longest + 1)
    for (index, byte) in name.text.utf8.enumerated() { room[index] = CChar(bitPattern: byte) }
    let number = descriptor.rawValue
    // Safe: the shim reads and writes at most the IFNAMSIZ bytes of the array.
    let result = unsafe room.withUnsafeMutableBufferPointer {
      unsafe clinux_tun_set_interface(number, $0.baseAddress!, Int16(truncatingIfNeeded: flags))
    }
    guard result == 0 else { throw TapConflict.attachError(errno, name) }
  }

  /// Sets the 12-byte header and asks for as many offloads as this kernel knows.
  private static func lendEngines(
    _ descriptor: borrowing OwnedDescriptor, _ wanted: TapOffloads, _ name: InterfaceName
  ) throws(LinuxError) -> TapOffloads {
    let number = descriptor.rawValue
    guard clinux_tun_set_header_size(number, Int32(VirtioNetHeader.byteCount)) == 0 else {
      throw .last("set the virtio-net header size of", name.text)
    }
    // USO4 and USO6 came with Linux 6.2 and go together; before that the whole call fails.
    for attempt in [wanted, wanted.subtracting([.uso4, .uso6])] {
      if clinux_tun_set_offload(number, UInt(attempt.rawValue)) == 0 { return attempt }
    }
    throw .last("set the offloads of", name.text)
  }
}

/// An open /dev/net/tun without an interface.
public struct TapSpare: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor
  public var rawDescriptor: Int32 { descriptor.rawValue }

  fileprivate init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Attaches to an interface that nobody holds any more, with the flags that it had, and lets go of it: the last to attach
  /// is who sets them.
  public consuming func setFlags(of link: LinkDescription) throws(LinuxError) {
    guard let tun = link.tun else { return }
    var flags = IFF_TAP
    if !tun.hasPacketInfo { flags |= IFF_NO_PI }
    if tun.hasVirtioNetHeader { flags |= IFF_VNET_HDR }
    if tun.isMultiQueue { flags |= IFF_MULTI_QUEUE }
    try TapDevice.attach(descriptor, link.name, flags)
  }
}
