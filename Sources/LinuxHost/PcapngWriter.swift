import Glibc

/// A pcapng file of Ethernet frames, buffered: bytes reach the file in pieces of 64 KiB, at `flush`
/// and at `close`. Every block is on the file whole or not at all after a flush.
public struct PcapngWriter: ~Copyable, Sendable {
  private static let flushSize = 65536

  private let descriptor: OwnedDescriptor
  private let subject: String
  private var encoder = PcapngEncoder()

  /// Makes the file, replacing one that exists, and writes the section and interface headers.
  public init(
    path: String, interfaceNames: [String], application: String = "swiftstack"
  ) throws(LinuxError) {
    let descriptor = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    try self.init(descriptor, subject: path, interfaceNames: interfaceNames, application: application)
  }

  /// Writes to a descriptor: standard output, a pipe into Wireshark.
  public init(
    _ descriptor: consuming OwnedDescriptor, subject: String, interfaceNames: [String],
    application: String = "swiftstack"
  ) throws(LinuxError) {
    precondition(!interfaceNames.isEmpty, "A capture has at least one interface.")
    self.descriptor = descriptor
    self.subject = subject
    encoder.appendSectionHeader(application: application)
    for name in interfaceNames { encoder.appendInterface(name: name) }
    // A reader sees a valid, empty capture at once.
    try flush()
  }

  /// Adds a frame; the parameters are `PcapngEncoder.appendPacket`'s.
  public mutating func write(
    _ frame: RawSpan, interface: UInt32 = 0, timestamp: UInt64, direction: PcapngEncoder.Direction? = nil,
    originalByteCount: Int? = nil, comment: String = ""
  ) throws(LinuxError) {
    encoder.appendPacket(
      frame, interface: interface, timestamp: timestamp, direction: direction,
      originalByteCount: originalByteCount, comment: comment)
    if encoder.bytes.count >= Self.flushSize { try flush() }
  }

  /// Adds a frame that is held in an array.
  public mutating func write(
    _ frame: [UInt8], interface: UInt32 = 0, timestamp: UInt64, direction: PcapngEncoder.Direction? = nil,
    originalByteCount: Int? = nil, comment: String = ""
  ) throws(LinuxError) {
    try write(
      frame.rawBytes, interface: interface, timestamp: timestamp, direction: direction,
      originalByteCount: originalByteCount, comment: comment)
  }

  /// Hands everything to the kernel. After an error (a full disk) the unwritten blocks are dropped.
  public mutating func flush() throws(LinuxError) {
    defer { encoder.removeAll() }
    try descriptor.writeAll(encoder.bytes.rawBytes, subject: subject)
  }

  /// Flushes and closes.
  public consuming func close() throws(LinuxError) {
    try flush()
  }
}
