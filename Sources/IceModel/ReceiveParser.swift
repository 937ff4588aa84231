import IceHardware
import Wire

/// What the device's parser finds in a received frame: its type, the checksum verdict, the hash input.
///
/// Any bytes may come; nothing is read beyond the first buffer or the frame, and nothing traps.
struct ReceiveParser {
  var packetType = RxPacketType.macPayload
  var status: RxStatus = []
  var hash: UInt32? = nil
  /// Where the IPv4 payload is in the frame, and how long its header says it is.
  private var transportOffset = 0
  private var transportByteCount = 0
  private var sourceAddress = IPv4Address.any
  private var destinationAddress = IPv4Address.any
  private var number: UInt8 = 0

  /// - Parameters:
  ///   - first: the frame's bytes in the first buffer; at least 14.
  ///   - frame: the frame's pieces in order, first buffer included.
  ///   - byteCount: the frame's length.
  ///   - verifies: whether to sum; otherwise the verdict is the wire's.
  ///   - hashes: whether to compute the RSS hash.
  init(
    first: UnsafeRawBufferPointer, frame: borrowing FrameVector, byteCount: Int, verifies: Bool,
    hashes: ToeplitzHash?
  ) {
    let bytes = unsafe RawSpan(_unsafeBytes: first)
    guard bytes.byteCount >= 14 else { return }
    var offset = 14
    var type = EtherType(rawValue: bytes.load16(EthernetHeader.Offset.type))
    // A tag of either kind, and a second one behind it.
    while offset < 22, type == .vlan || type == .serviceVLAN, bytes.byteCount >= offset + 4 {
      type = EtherType(rawValue: bytes.load16(offset + 2))
      offset += 4
    }
    if type == .arp { packetType = .arp }
    if type == .ipv6 { packetType = .ipv6 }
    guard type == .ipv4, bytes.byteCount >= offset + 20 else { return }
    let octet = bytes.load8(offset)
    let header = Int(octet & 0xF) * 4
    let total = Int(bytes.load16(offset + 2))
    guard octet >> 4 == 4, header >= 20, total >= header, bytes.byteCount >= offset + header,
      byteCount >= offset + total
    else { return }
    packetType = .ipv4
    sourceAddress = bytes.loadIPv4(offset + 12)
    destinationAddress = bytes.loadIPv4(offset + 16)
    number = bytes.load8(offset + 9)
    transportOffset = offset + header
    transportByteCount = total - header
    let isFragment = bytes.load16(offset + 6) & 0x3FFF != 0
    if isFragment {
      packetType = .ipv4Fragment
    } else {
      packetType = Self.type(of: number)
    }
    if verifies {
      verify(bytes, headerOffset: offset, headerByteCount: header, isFragment: isFragment, frame: frame)
    }
    if let hashes {
      let hasPorts = packetType == .ipv4TCP || packetType == .ipv4UDP
      let ports = hasPorts && bytes.byteCount >= transportOffset + 4 ? bytes.load32(transportOffset) : nil
      hash = hashes.hash(
        source: sourceAddress.rawValue, destination: destinationAddress.rawValue, ports: ports)
    }
  }

  private static func type(of number: UInt8) -> RxPacketType {
    switch number {
    case 1: .ipv4ICMP
    case 6: .ipv4TCP
    case 17: .ipv4UDP
    case 132: .ipv4SCTP
    default: .ipv4
    }
  }

  private mutating func verify(
    _ bytes: RawSpan, headerOffset: Int, headerByteCount: Int, isFragment: Bool, frame: borrowing FrameVector
  ) {
    var header = InternetChecksum()
    header.add(bytes.extracting(headerOffset..<headerOffset + headerByteCount))
    status.insert(.l3l4Processed)
    if !header.isValid { status.insert(.ipChecksumError) }
    let isTCP = packetType == .ipv4TCP
    guard !isFragment, isTCP || packetType == .ipv4UDP else {
      // Only the header was looked at; the driver tells from the packet type.
      return
    }
    // A transport header that is not all there is the stack's to judge.
    guard transportByteCount >= (isTCP ? 20 : 8), bytes.byteCount >= transportOffset + 8 else {
      status.insert(.l4ChecksumError)
      return
    }
    var size = transportByteCount
    if !isTCP {
      if bytes.load16(transportOffset + 6) == 0 { return }
      let stated = Int(bytes.load16(transportOffset + 4))
      guard stated >= 8, stated <= size else {
        status.insert(.l4ChecksumError)
        return
      }
      size = stated
    }
    var sum = InternetChecksum.pseudoHeader(
      source: sourceAddress, destination: destinationAddress, protocol: IPProtocol(rawValue: number),
      byteCount: size)
    sum.add(frame.checksum(from: transportOffset, count: size), at: 0)
    if !sum.isValid { status.insert(.l4ChecksumError) }
  }
}

extension FrameVector {
  /// The sum over a range of the frame; what lies beyond its end is not summed.
  func checksum(from offset: Int, count wanted: Int) -> InternetChecksum {
    var sum = InternetChecksum()
    var skip = offset
    var done = 0
    var index = 0
    while index < count && done < wanted {
      let segment = segment(at: index)
      index += 1
      if skip >= segment.byteCount {
        skip -= segment.byteCount
        continue
      }
      let part = min(segment.byteCount - skip, wanted - done)
      var block = InternetChecksum()
      // skip + part is inside the segment.
      unsafe block.add(UnsafeRawBufferPointer(start: UnsafeRawPointer(segment.base) + skip, count: part))
      sum.add(block, at: done)
      done += part
      skip = 0
    }
    return sum
  }
}
