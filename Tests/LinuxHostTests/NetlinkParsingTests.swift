import CLinux
import Glibc
import Testing
import Wire

@testable import LinuxHost

/// What the kernel says, and what it could say if it were broken or hostile.
@Suite struct NetlinkParsingTests {
  static func bytes<T: BitwiseCopyable>(_ value: T) -> [UInt8] {
    unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
  }
  /// struct nlattr with its value, padded to four bytes.
  static func attribute(_ type: Int, _ value: [UInt8], length: Int? = nil) -> [UInt8] {
    let total = UInt16(length ?? value.count + 4)
    return bytes(total) + bytes(UInt16(type)) + value
      + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
  }
  static func verdict(_ code: Int32, _ rest: [UInt8] = [], echoed: UInt32 = 16) -> NetlinkMessage {
    var fixed = nlmsgerr()
    fixed.error = code
    fixed.msg.nlmsg_len = echoed
    return NetlinkMessage(type: UInt16(NLMSG_ERROR), payload: bytes(fixed) + rest)
  }

  @Test("values of the right size are read, others count as absent") func values() {
    let attributes = NetlinkAttributes(
      (Self.attribute(1, [7]) + Self.attribute(2, [1, 2, 3, 4]) + Self.attribute(3, [0x68, 0x69, 0, 0x78])
        + Self.attribute(4, [1, 2, 3]) + Self.attribute(5, Self.attribute(1, [9])))[...])
    #expect(attributes.u8(1) == 7 && attributes.u32(1) == nil)
    #expect(attributes.u32(2) == 0x0403_0201 && attributes.u32BigEndian(2) == 0x0102_0304)
    #expect(attributes.u8(2) == nil)
    #expect(NetlinkAttributes(Self.attribute(1, [1, 2, 3, 4, 5, 6, 7, 8])[...]).u32(1) == nil)
    #expect(attributes.string(3) == "hi")
    #expect(attributes.u32(4) == nil && attributes.bytes(4) == [1, 2, 3])
    #expect(attributes.nested(5)?.u8(1) == 9)
    #expect(attributes.bytes(6) == nil && attributes.nested(6) == nil && attributes.string(6) == nil)
  }

  @Test("a length that lies ends the list and harms nothing", arguments: [0, 1, 3, 9, 200, 65535])
  func lyingLength(_ length: Int) {
    let bytes = Self.attribute(1, [7]) + Self.attribute(2, [1, 2, 3, 4], length: length)
    let attributes = NetlinkAttributes(bytes[...])
    #expect(attributes.u8(1) == 7 && attributes.bytes(2) == nil)
  }

  @Test("messages cut anywhere are no description, and no crash") func truncated() throws {
    var link = ifinfomsg()
    link.ifi_index = 7
    link.ifi_type = UInt16(ARPHRD_ETHER)
    link.ifi_flags = 0x1043
    let payload =
      Self.bytes(link) + Self.attribute(IFLA_IFNAME, Array("tap0".utf8) + [0])
      + Self.attribute(IFLA_MTU, Self.bytes(UInt32(1500))) + Self.attribute(IFLA_ADDRESS, [2, 0, 0, 0, 0, 9])
      + Self.attribute(IFLA_TXQLEN, Self.bytes(UInt32(1000)))
    let whole = LinkDescription(NetlinkMessage(type: UInt16(RTM_NEWLINK), payload: payload))
    #expect(whole?.index == 7 && whole?.name.text == "tap0" && whole?.mtu == 1500)
    #expect(whole?.hardwareAddress == MACAddress(0x0200_0000_0009) && whole?.transmitQueueLength == 1000)
    #expect(whole?.flags.contains([.up, .running]) == true && whole?.isTap == false)
    for count in 0..<payload.count {
      let cut = NetlinkMessage(type: UInt16(RTM_NEWLINK), payload: Array(payload[..<count]))
      let description = LinkDescription(cut)
      if count < 16 + 9 { #expect(description == nil) }
      _ = InterfaceAddress(NetlinkMessage(type: UInt16(RTM_NEWADDR), payload: Array(payload[..<count])))
      _ = RouteDescription(NetlinkMessage(type: UInt16(RTM_NEWROUTE), payload: Array(payload[..<count])))
    }
    // Of another type it is something else.
    #expect(LinkDescription(NetlinkMessage(type: UInt16(RTM_NEWADDR), payload: payload)) == nil)
    // A station address of another length, or another kind of link, has none.
    let short =
      Self.bytes(link) + Self.attribute(IFLA_IFNAME, Array("x".utf8)) + Self.attribute(IFLA_ADDRESS, [1, 2])
    #expect(
      LinkDescription(NetlinkMessage(type: UInt16(RTM_NEWLINK), payload: short))?.hardwareAddress == nil)
  }

  @Test("addresses: IPv4 only, the local one before the peer's, an impossible prefix length is none")
  func addresses() {
    func address(
      _ attributes: [UInt8], family: Int32 = AF_INET, length: UInt8 = 24
    ) -> InterfaceAddress? {
      var fixed = ifaddrmsg()
      fixed.ifa_family = UInt8(family)
      fixed.ifa_prefixlen = length
      fixed.ifa_index = 3
      return InterfaceAddress(
        NetlinkMessage(type: UInt16(RTM_NEWADDR), payload: Self.bytes(fixed) + attributes))
    }
    let local = Self.attribute(IFA_LOCAL, [10, 9, 0, 1])
    let peer = Self.attribute(IFA_ADDRESS, [10, 9, 0, 2])
    #expect(address(local + peer)?.prefix == IPv4Prefix("10.9.0.1/24"))
    #expect(address(peer)?.prefix == IPv4Prefix("10.9.0.2/24"))
    #expect(address(peer)?.linkIndex == 3 && address(peer)?.label == "")
    #expect(
      address(local, length: 33) == nil && address(local, family: AF_INET6) == nil && address([]) == nil)
    #expect(address(Self.attribute(IFA_LOCAL, [10, 9, 0])) == nil)
  }

  @Test("a verdict: 0 is an acknowledgement, others the error with the kernel's words") func verdicts() {
    func reply(_ messages: [(NetlinkMessage, Int32)]) -> NetlinkReply {
      var reply = NetlinkReply()
      for (message, flags) in messages { reply.take(message, flags: UInt16(flags)) }
      return reply
    }
    let done = reply([(Self.verdict(0), 0)])
    #expect(done.isComplete && done.error == nil && done.kernelMessage == nil)
    let words = Self.attribute(Int(NLMSGERR_ATTR_MSG.rawValue), Array("mtu less than minimum".utf8) + [0])
    let refused = reply([(Self.verdict(-EINVAL, words), NLM_F_CAPPED)])
    #expect(refused.isComplete && refused.error == EINVAL && refused.kernelMessage == "mtu less than minimum")
    // Not capped: the request's payload, four bytes here, comes before the words.
    let echoed = reply([(Self.verdict(-EPERM, [1, 2, 3, 4] + words, echoed: 20), 0)])
    #expect(echoed.error == EPERM && echoed.kernelMessage == "mtu less than minimum")
    // Lies about the echo, and the one number that has no opposite.
    let lying = reply([(Self.verdict(.min, words, echoed: .max), 0)])
    #expect(lying.isComplete && lying.error == EBADMSG && lying.kernelMessage == nil)
    let short = reply([(NetlinkMessage(type: UInt16(NLMSG_ERROR), payload: [1, 2]), 0)])
    #expect(short.isComplete && short.error == EBADMSG)
    let empty = reply([(Self.verdict(-ENODEV, Self.attribute(1, [0])), NLM_F_CAPPED)])
    #expect(empty.error == ENODEV && empty.kernelMessage == nil)
  }

  @Test("a dump: messages until DONE, an error in DONE, an interruption noticed") func dump() {
    var reply = NetlinkReply()
    reply.take(NetlinkMessage(type: UInt16(RTM_NEWLINK), payload: [1]), flags: UInt16(NLM_F_DUMP_INTR))
    reply.take(NetlinkMessage(type: UInt16(NLMSG_NOOP), payload: []), flags: 0)
    #expect(!reply.isComplete && reply.messages.count == 1 && reply.wasInterrupted)
    reply.take(NetlinkMessage(type: UInt16(NLMSG_DONE), payload: Self.bytes(Int32(0))), flags: 0)
    #expect(reply.isComplete && reply.error == nil)
    var failed = NetlinkReply()
    failed.take(NetlinkMessage(type: UInt16(NLMSG_DONE), payload: Self.bytes(-EBUSY)), flags: 0)
    #expect(failed.isComplete && failed.error == EBUSY && !failed.wasInterrupted)
    var bare = NetlinkReply()
    bare.take(NetlinkMessage(type: UInt16(NLMSG_DONE), payload: []), flags: 0)
    #expect(bare.isComplete && bare.error == nil)
  }
}
