import FuzzSupport
import Wire

/// Every parser of `Wire`, on the bytes as they are and on each layer of them read as a frame. What was parsed is
/// written and parsed again, and must be the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWire(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe FuzzInput.bytes(start, count)
  // The bytes of an array that outlives the calls.
  unsafe parseAll(input.span.bytes)
  unsafe parseFrame(input.span.bytes)
  parseTexts(input)
  return 0
}

private func parseAll(_ bytes: RawSpan) {
  _ = EthernetHeader(parsing: bytes)
  _ = ARPPacket(parsing: bytes)
  _ = ICMPHeader(parsing: bytes)
  _ = UDPHeader(parsing: bytes)
  parseIPv4(bytes)
  parseTCP(bytes)
  var whole = InternetChecksum()
  whole.add(bytes)
  for cut in [1, 2, 3, bytes.byteCount / 2, bytes.byteCount - 1] where cut > 0 && cut < bytes.byteCount {
    var first = InternetChecksum()
    var second = InternetChecksum()
    first.add(bytes.extracting(0..<cut))
    second.add(bytes.extracting(cut..<bytes.byteCount))
    first.add(second, at: cut)
    precondition(first.checksum == whole.checksum, "Sums of parts make the sum of the whole.")
  }
}

private func parseFrame(_ bytes: RawSpan) {
  precondition(!PacketDescription(frame: bytes).description.isEmpty, "Every frame can be printed.")
  guard let ethernet = EthernetHeader(parsing: bytes) else { return }
  let payload = bytes.extracting(EthernetHeader.byteCount..<bytes.byteCount)
  switch ethernet.type {
  case .arp:
    guard let packet = ARPPacket(parsing: payload) else { return }
    var copy = [UInt8](repeating: 0, count: ARPPacket.byteCount)
    var span = copy.mutableSpan
    // Plain bytes, any value is good.
    var target = unsafe span.mutableBytes
    packet.write(to: &target)
    let again = unsafe ARPPacket(parsing: copy.span.bytes)
    precondition(
      again?.senderAddress == packet.senderAddress && again?.targetMAC == packet.targetMAC, "ARP comes back.")
  case .ipv4:
    guard let header = parseIPv4(payload), header.headerByteCount <= payload.byteCount else { return }
    let rest = payload.extracting(header.headerByteCount..<payload.byteCount)
    switch header.protocol {
    case .tcp: parseTCP(rest)
    case .udp: _ = UDPHeader(parsing: rest)
    case .icmp: _ = ICMPHeader(parsing: rest)
    default: break
    }
  default: break
  }
}

@discardableResult
private func parseIPv4(_ bytes: RawSpan) -> IPv4Header? {
  guard let header = IPv4Header(parsing: bytes) else { return nil }
  precondition((20...60).contains(header.headerByteCount), "An IPv4 header has 20 to 60 bytes.")
  precondition(header.headerByteCount <= bytes.byteCount, "A parsed header lies inside its bytes.")
  precondition(header.totalByteCount >= header.headerByteCount, "A packet holds its header.")
  _ = IPv4Header.isChecksumValid(bytes, byteCount: header.headerByteCount)
  return header
}

private func parseTCP(_ bytes: RawSpan) {
  guard let header = TCPHeader(parsing: bytes) else { return }
  precondition((20...60).contains(header.headerByteCount), "A TCP header has 20 to 60 bytes.")
  precondition(header.headerByteCount <= bytes.byteCount, "A parsed header lies inside its bytes.")
  let options = TCPOptions(parsing: bytes, headerByteCount: header.headerByteCount)
  precondition(options.sackBlockCount <= 4, "At most four SACK blocks fit.")
  guard options.byteCount <= 40 else { return }
  // What we understood, written and read again, is what we understood.
  var copy = [UInt8](repeating: 0, count: 60)
  var span = copy.mutableSpan
  // Plain bytes, any value is good.
  var target = unsafe span.mutableBytes
  options.write(to: &target, at: 20)
  let again = unsafe TCPOptions(parsing: copy.span.bytes, headerByteCount: 20 + options.byteCount)
  precondition(again.maximumSegmentSize == options.maximumSegmentSize, "The MSS comes back.")
  precondition(again.windowScale == options.windowScale, "The window scale comes back.")
  precondition(again.sackPermitted == options.sackPermitted, "SACK-permitted comes back.")
  precondition(again.hasTimestamps == options.hasTimestamps, "Timestamps come back.")
  precondition(again.timestampValue == options.timestampValue, "The timestamp comes back.")
}

/// Texts that users type.
private func parseTexts(_ input: [UInt8]) {
  let text = String(decoding: input.prefix(64), as: UTF8.self)
  if let address = IPv4Address(text) {
    precondition(IPv4Address(address.description) == address, "An address comes back.")
  }
  if let mac = MACAddress(text) {
    precondition(MACAddress(mac.description) == mac, "A MAC address comes back.")
  }
  if let prefix = IPv4Prefix(text) {
    precondition(
      (0...32).contains(prefix.length) && prefix.contains(prefix.address), "A prefix holds its address.")
  }
}
