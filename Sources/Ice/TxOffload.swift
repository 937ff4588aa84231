import IceHardware
import SkBuff
import Wire

/// What the descriptors of one packet ask the hardware to do. Linux: `struct ice_tx_offload_params`.
struct TxOffload {
  var command: TxDataCommand = []
  var offsets = TxHeaderOffsets(rawValue: 0)
  var context = TxContextDescriptor(command: [])
  /// Ethernet to transport header, bytes; set for TSO.
  var headerByteCount = 0
  var segmentCount = 1

  /// Whether a context descriptor goes in front.
  var needsContext: Bool { context.command.rawValue != 0 }

  /// Where the headers are, as the stack marked them, checked to be in the linear area.
  private struct Headers {
    var network: Int
    var transport: Int
    var isIPv4: Bool
    var number: UInt8
    /// TCP's with options, UDP's 8; 0 for another protocol.
    var transportByteCount: Int
  }

  private static func headers(_ skb: inout SkBuff) -> Headers? {
    guard let network = skb.networkHeaderOffset, network >= 14 else { return nil }
    let transport = skb.checksumStart
    guard transport >= network + 20, transport + 8 <= skb.length, skb.mayPull(transport + 8) else {
      return nil
    }
    let isIPv4 = skb.linear.load8(network) >> 4 == 4
    let number = skb.linear.load8(network + (isIPv4 ? 9 : 6))
    var size = 0
    if number == IPProtocol.tcp.rawValue {
      guard skb.length >= transport + 20, skb.mayPull(transport + 20) else { return nil }
      size = Int(skb.linear.load8(transport + 12) >> 4) * 4
      guard size >= 20, skb.length >= transport + size, skb.mayPull(transport + size) else { return nil }
    } else if number == IPProtocol.udp.rawValue {
      size = 8
    }
    return Headers(
      network: network, transport: transport, isIPv4: isIPv4, number: number, transportByteCount: size)
  }

  /// Sets up segmentation: lengths cleared, the pseudo-header sum without the length, the context
  /// descriptor's fields. Does nothing to a packet without `gsoSize`. Linux: `ice_tso()`.
  ///
  /// - Returns: false when the hardware cannot do it: the packet is to be dropped.
  mutating func prepareSegmentation(_ skb: inout SkBuff) -> Bool {
    if !skb.isGSO { return true }
    guard skb.checksumStatus == .partial, let headers = Self.headers(&skb), headers.transportByteCount > 0
    else {
      return false
    }
    let header = headers.transport + headers.transportByteCount
    let payload = skb.length - header
    let size = skb.gsoSize
    let transportLength = skb.length - headers.transport
    guard payload > 0, size >= TxContextDescriptor.minSegmentByteCount,
      size <= TxContextDescriptor.maxSegmentByteCount, transportLength <= 0xFFFF
    else { return false }
    let field = headers.transport + (headers.number == IPProtocol.tcp.rawValue ? 16 : 6)
    var sum = InternetChecksum()
    sum.add(skb.linear.load16(field))
    // Ones-complement subtraction of the length: the hardware adds each segment's own.
    sum.add(~UInt16(truncatingIfNeeded: transportLength))
    let partial = sum.partial
    guard var bytes = skb.writable() else { return false }
    if headers.isIPv4 {
      bytes.store16(0, headers.network + 2)
      bytes.store16(0, headers.network + 10)
    } else {
      bytes.store16(0, headers.network + 4)
    }
    bytes.store16(partial, field)
    context.command.insert(.tso)
    context.tsoByteCount = payload
    context.segmentByteCount = size
    headerByteCount = header
    segmentCount = (payload + size - 1) / size
    return true
  }

  /// Sets up checksum insertion for a packet that asks for it, in software when the hardware does not
  /// know the protocol. Linux: `ice_tx_csum()`.
  ///
  /// - Returns: false when the packet's headers are not what its metadata says: it is to be dropped.
  mutating func prepareChecksum(_ skb: inout SkBuff) -> Bool {
    if skb.checksumStatus != .partial { return true }
    let isTSO = context.command.contains(.tso)
    guard let headers = Self.headers(&skb), headers.transportByteCount > 0,
      headers.network <= 254, headers.network & 1 == 0
    else {
      return !isTSO && skb.completeChecksum()
    }
    command.insert(headers.isIPv4 ? (isTSO ? .ipv4Checksum : .ipv4) : .ipv6)
    command.insert(headers.number == IPProtocol.tcp.rawValue ? .l4TCP : .l4UDP)
    offsets = TxHeaderOffsets(
      macByteCount: headers.network, networkByteCount: headers.transport - headers.network,
      transportByteCount: headers.transportByteCount)
    return true
  }

  /// Control frames leave past the switch: LLDP, and what has the control priority.
  mutating func prepareUplink(_ skb: borrowing SkBuff) {
    let isControl =
      skb.priority == 7 || (skb.headLength >= 14 && skb.linear.load16(EthernetHeader.Offset.type) == 0x88CC)
    if isControl { context.command.insert(.switchUplink) }
  }
}
