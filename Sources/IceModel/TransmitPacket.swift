import IceHardware
import Tables

/// One packet as its descriptors describe it, and how far the device has got with it. Not copyable because a
/// copy would only be a waste: there is one, in the transmit engine.
struct TransmitPacket: ~Copyable {
  private let addressOnly = AddressOnly()
  var firstDescriptor = 0
  /// The descriptor with EOP.
  var lastDescriptor = 0
  /// Where the head goes when the packet is complete.
  var nextDescriptor = 0
  var reportsStatus = false
  var isDummy = false

  var byteCount = 0
  var command: TxDataCommand = []
  var offsets = TxHeaderOffsets(rawValue: 0)
  var context: TxContextDescriptor? = nil
  var l2Tag1: UInt16 = 0

  /// Header bytes fetched into the scratch; 0 when the frame goes out as it is.
  var headerByteCount = 0
  var macByteCount = 0
  var networkByteCount = 0
  var transportByteCount = 0
  /// Descriptors that hold header bytes.
  var headerBufferCount = 0
  var cast = Cast.unicast

  /// Payload bytes already put on the wire.
  var payloadOffset = 0
  var segmentIndex = 0
  /// Where the next payload byte is: gather segment and offset in it.
  var cursorSegment = 0
  var cursorOffset = 0

  /// Whom the frame is for, for the statistics.
  enum Cast { case unicast, multicast, broadcast }

  var isTSO: Bool { context?.command.contains(.tso) ?? false }
  var payloadByteCount: Int { byteCount - headerByteCount }
  var tagByteCount: Int {
    (command.contains(.insertL2Tag1) ? 4 : 0) + (context?.command.contains(.insertL2Tag2) ?? false ? 4 : 0)
  }

  /// Whether the device has to change the header, and so fetches it.
  @inline(__always) var needsHeader: Bool {
    isTSO || command.networkType == .ipv4Checksum || command.transportType.rawValue != 0 || tagByteCount > 0
  }
}
