import IceHardware
import Testing

/// The bytes of a descriptor as they lie in memory, little-endian.
private func bytes(_ words: UInt64...) -> [UInt8] {
  words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
}

private func hex(_ text: String) -> [UInt8] {
  var result: [UInt8] = []
  var rest = Substring(text)
  while let octet = UInt8(rest.prefix(2), radix: 16) {
    result.append(octet)
    rest = rest.dropFirst(2)
  }
  return result
}

/// Expected bytes were packed by hand from the bit positions in the D section, with another language's
/// struct packing, not by the code under test.
@Suite struct DescriptorLayoutTests {
  @Test(
    "D text: the generic-checksum field: start in words 0-7, offset in words 8-11, type 12-14, from bit 48")
  func genericChecksum() {
    let field = GenericChecksum(start: 34, offset: 16, hasPseudoHeader: true)
    #expect(field.rawValue == 0x1811)
    #expect(field.start == 34 && field.offset == 16 && field.type == 1)
    let descriptor = TxContextDescriptor(
      command: .insertL2Tag2, l2Tag2: 0xABCD, tunnellingParameters: 0x1234_5678, genericChecksum: field)
    #expect(descriptor.packed.first == 0x1811_ABCD_1234_5678)
    #expect(TxContextDescriptor(unpacking: descriptor.packed) == descriptor)
    #expect(GenericChecksum(start: 510, offset: 30, hasPseudoHeader: false).rawValue == 0x0FFF)
  }

  @Test("D2 Tx data descriptor has every field at its bit")
  func txData() {
    // EOP | RS | IPv4+csum | TCP; MACLEN 14, IPLEN 20, L4LEN 32; 66 bytes; tag 100.
    let descriptor = TxDataDescriptor(
      bufferAddress: IOVA(rawValue: 0x0000_0100_0020_0ABC),
      command: [.endOfPacket, .reportStatus, .ipv4Checksum, .l4TCP],
      offsets: TxHeaderOffsets(macByteCount: 14, networkByteCount: 20, transportByteCount: 32),
      bufferByteCount: 66, l2Tag1: 100)
    let words = descriptor.packed
    #expect(bytes(words.first, words.second) == hex("bc0a200000010000301687020a016400"))
    #expect(TxDataDescriptor(unpacking: words) == descriptor)
    #expect(words.type == .data)
  }

  @Test("D3 Tx context descriptor: TSO length 18 bits at 30, MSS 14 bits at 50")
  func txContext() {
    let tso = TxContextDescriptor(command: .tso, tsoByteCount: 65160, segmentByteCount: 1448)
    #expect(bytes(tso.packed.first, tso.packed.second) == hex("000000000000000011000000a23fa016"))
    #expect(TxContextDescriptor(unpacking: tso.packed) == tso)
    let tagged = TxContextDescriptor(
      command: [.insertL2Tag2, .switchUplink], l2Tag2: 0x2005, tunnellingParameters: 0xDEAD_BEEF)
    #expect(bytes(tagged.packed.first, tagged.packed.second) == hex("efbeadde052000004101000000000000"))
    #expect(TxContextDescriptor(unpacking: tagged.packed) == tagged)
    #expect(tagged.packed.type == .context)
  }

  @Test("D12 Rx flex descriptor, profile 2, 32 bytes")
  func rxFlex() {
    var descriptor = RxFlexDescriptor()
    descriptor.packetType = .ipv4TCP
    descriptor.packetByteCount = 1514
    descriptor.status = [.done, .endOfFrame, .l3l4Processed, .rssValid]
    descriptor.rssHash = 0x51CC_C178
    descriptor.status1 = .metadata5Valid
    descriptor.flowID = 7
    descriptor.metadata5 = 1448
    let q = descriptor.packed
    #expect(
      bytes(q.w0, q.w1, q.w2, q.w3)
        == hex("02001a00ea0500000b10000078c1cc510080000000000000070000000000a805"))
    #expect(RxFlexDescriptor(unpacking: q) == descriptor)
  }

  @Test("D12 Posting a buffer clears the status word")
  func rxRead() {
    let q = RxReadDescriptor(bufferAddress: IOVA(rawValue: 0x1122_3344_5566_7788)).packed
    #expect(bytes(q.w0, q.w1, q.w2, q.w3) == hex("8877665544332211") + [UInt8](repeating: 0, count: 24))
  }

  @Test("D2 Field widths: what does not fit does not spill into its neighbours")
  func widths() {
    let wide = TxDataDescriptor(
      bufferAddress: IOVA(rawValue: 0), command: TxDataCommand(rawValue: 0xFFFF),
      offsets: TxHeaderOffsets(rawValue: .max), bufferByteCount: 0xFFFFF)
    #expect(wide.packed.second == 0x0000_FFFF_FFFF_FFF0)
  }

  @Test("D11 MDD register: VALID 31, MAL_TYPE 26...30")
  func mdd() {
    #expect(MaliciousDriverEvent.missingEndOfPacket.registerValue == 0x9000_0000)
    for event in MaliciousDriverEvent.allCases {
      #expect(MaliciousDriverEvent(registerValue: event.registerValue) == event)
    }
    #expect(MaliciousDriverEvent(registerValue: 0) == nil)
  }

  @Test("D8 GLINT_DYN_CTL: enable, clear, interval in 2 us steps from bit 5")
  func interruptControl() {
    #expect(InterruptControl(enabledWithThrottle: 50).rawValue == 0x323)
    #expect(InterruptControl(rawValue: 0x323).throttleMicroseconds == 50)
    #expect(!InterruptControl(rawValue: 0).isEnabled)
  }
}
