import NetNamespace
import Sockets
import Testing
import Wire

@Suite struct SocketNameTests {
  let name: [UInt8] = [2, 0, 0x1F, 0x90, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]

  func parse(_ name: [UInt8], length: Int) throws -> SocketAddress? {
    let bytes = unsafe name.span.bytes
    return try SocketName.parse(bytes, length: length)
  }
  func parseDestination(_ name: [UInt8], length: Int) throws -> SocketAddress {
    let bytes = unsafe name.span.bytes
    return try SocketName.parseDestination(bytes, length: length)
  }

  @Test("S3 sockaddr_in both ways")
  func golden() throws {
    let address = try parse(name, length: 16)
    #expect(address == SocketAddress(IPv4Address(10, 0, 0, 1), port: 8080))
    var bytes = [UInt8](repeating: 0xEE, count: 16)
    var span = bytes.mutableSpan
    var target = unsafe span.mutableBytes
    SocketName.write(SocketAddress(IPv4Address(10, 0, 0, 1), port: 8080), to: &target)
    #expect(bytes == name)
  }

  @Test(
    "S3 U1 Lengths: negative, over 128 or short is EINVAL, unreadable is EFAULT",
    arguments: [(-1, Errno.EINVAL), (129, .EINVAL), (15, .EINVAL), (1, .EINVAL), (0, .EINVAL), (17, .EFAULT)])
  func lengths(length: Int, error: Errno) {
    #expect(throws: error) { try parse(name, length: length) }
  }

  @Test("U1 Another family is EAFNOSUPPORT; AF_UNSPEC is no peer, and a destination all the same")
  func families() throws {
    var other = name
    other[0] = 10
    #expect(throws: Errno.EAFNOSUPPORT) { try parse(other, length: 16) }
    other[0] = 0
    #expect(try parse(other, length: 16) == nil)
    #expect(try parseDestination(other, length: 16).port == 8080)
    #expect(throws: Errno.EINVAL) { try parseDestination(other, length: 8) }
  }
}
