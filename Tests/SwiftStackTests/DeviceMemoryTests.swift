import Glibc
import SwiftStack
import TestSupport
import Testing

@Suite("T15 memory that only the NIC reads", .serialized)
struct DeviceMemoryTests {
  /// A file that stands for a device's memory, filled by somebody else than the stack.
  private final class Device {
    let descriptor: Int32

    init(_ bytes: [UInt8]) throws {
      var name = Array("/tmp/swiftstack-device-XXXXXX".utf8CString)
      // Safe: the array ends with a zero and has room for what mkstemp(3) writes.
      descriptor = unsafe name.withUnsafeMutableBufferPointer { unsafe mkstemp($0.baseAddress!) }
      try #require(descriptor >= 0)
      _ = unsafe name.withUnsafeBufferPointer { unsafe unlink($0.baseAddress!) }
      put(bytes)
    }
    deinit { close(descriptor) }

    func put(_ bytes: [UInt8]) {
      _ = unsafe bytes.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }
  }

  private func errno(_ body: () throws(SocketError) -> Void) -> Int32? {
    do throws(SocketError) {
      try body()
      return nil
    } catch { return error.errno.rawValue }
  }

  private let bytes = (0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

  private func connected() throws -> (ScriptedConnection, Device, DeviceMemory) {
    let connection = try ScriptedConnection(peer: ScriptedPeer())
    let device = try Device(bytes)
    let memory = try connection.peer.host.stack.bindDeviceMemory(device.descriptor, byteCount: bytes.count)
    return (connection, device, memory)
  }

  @Test("T15 what is sent is the memory's, and a completion tells when nothing reads it any more")
  func sends() throws {
    let (connection, _, memory) = try connected()
    try connection.socket.setZeroCopy(true)
    #expect(try connection.socket.send(memory, 100..<4100) == 4000)
    #expect(connection.takeData() == Array(bytes[100..<4100]))
    #expect(throws: SocketError.self) { try connection.socket.completion() }
    connection.acknowledge()
    let done = try connection.socket.completion()
    #expect(done.first == 0 && done.last == 0 && !done.isCopied)
  }

  @Test("T15 the NIC reads it when it sends, and again when it sends again: the stack has no copy")
  func readsLate() throws {
    let (connection, device, memory) = try connected()
    try connection.socket.setZeroCopy(true)
    try connection.socket.send(memory, 0..<10)
    #expect(connection.peer.all().map(\.payload) == [Array(bytes[..<10])])
    device.put([UInt8](repeating: 9, count: 10))
    connection.peer.advance(.seconds(1))
    #expect(connection.peer.all().first?.payload == [UInt8](repeating: 9, count: 10))
  }

  @Test("T15 a time stamp with the packet's bytes is lost: nobody can read them; one without comes")
  func stamps() throws {
    let (connection, _, memory) = try connected()
    let socket = connection.socket
    try socket.setZeroCopy(true)
    func stamps(_ flags: TimestampingFlags) throws -> [UInt32] {
      try socket.setsockopt(level: 1, name: 37, Int32(bitPattern: flags.rawValue))
      try socket.send(memory, 0..<10)
      _ = connection.takeData()
      connection.acknowledge()
      var events: [UInt32] = []
      while let message = try? socket.recvmsg(flags: .errorQueue), let error = message.control.error {
        if error.origin == .timestamping { events.append(error.info) }
      }
      return events
    }
    let flags: TimestampingFlags = [.transmitSoftware, .software]
    #expect(try stamps(flags) == [])
    #expect(try stamps(flags.union(.timeOnly)) == [0])
  }

  @Test(
    "T15 EINVAL without MSG_ZEROCOPY, without SO_ZEROCOPY, and for a number that is nothing's; EFAULT outside"
  )
  func refuses() throws {
    let (connection, _, memory) = try connected()
    let socket = connection.socket
    #expect(errno { () throws(SocketError) in try socket.send(memory, 0..<10) } == 22)
    try socket.setZeroCopy(true)
    #expect(errno { () throws(SocketError) in try socket.send(memory, 0..<10, flags: []) } == 22)
    #expect(errno { () throws(SocketError) in try socket.send(memory, 0..<8193) } == 14)
    var header = MessageHeader(flags: .zeroCopy)
    header.control.deviceMemory = memory.id + 100
    #expect(errno { () throws(SocketError) in _ = try socket.sendmsg(header, [1]) } == 22)
    // The caller's own bytes are not the memory's.
    header.control.deviceMemory = memory.id
    #expect(errno { () throws(SocketError) in _ = try socket.sendmsg(header, [1]) } == 14)
    // 0 names nothing.
    header.control.deviceMemory = 0
    #expect(errno { () throws(SocketError) in _ = try socket.sendmsg(header, [1]) } == nil)
    #expect(connection.takeData() == [1])
  }

  @Test("S5 SCM_DEVMEM_DMABUF is four bytes long")
  func controlMessage() throws {
    let (connection, _, _) = try connected()
    func message(_ data: [UInt8]) -> [UInt8] {
      [UInt8(16 + data.count), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 79, 0, 0, 0] + data
    }
    let socket = connection.socket
    #expect(
      errno { () throws(SocketError) in _ = try socket.sendmsg(name: [], control: message([1, 0, 0]), [1]) }
        == 22)
    #expect(
      errno { () throws(SocketError) in
        _ = try socket.sendmsg(name: [], control: message([77, 0, 0, 0]), [1])
      } == 22)
    #expect(
      errno { () throws(SocketError) in _ = try socket.sendmsg(name: [], control: message([0, 0, 0, 0]), [1])
      } == nil)
  }

  @Test("T15 after the binding has ended no send may name it, and the NIC refuses what it has not read")
  func ends() throws {
    let (connection, _, memory) = try connected()
    try connection.socket.setZeroCopy(true)
    try connection.socket.send(memory, 0..<10)
    #expect(connection.peer.all().count == 1)
    try connection.peer.host.stack.unbind(memory)
    #expect(throws: StackError.self) { try connection.peer.host.stack.unbind(memory) }
    #expect(errno { () throws(SocketError) in try connection.socket.send(memory, 0..<10) } == 22)
    connection.peer.advance(.seconds(1))
    // What would go again is not readable any more.
    #expect(connection.peer.all().isEmpty)
    connection.acknowledge()
  }

  @Test("T15 nobody but a stream sends it, and a device that would need the bytes read does not")
  func otherWays() throws {
    let (connection, _, memory) = try connected()
    let host = connection.peer.host
    let datagram = try host.stack.socket(.udp)
    try datagram.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    try datagram.setZeroCopy(true)
    #expect(errno { () throws(SocketError) in try datagram.send(memory, 0..<10) } == 14)
    // To ourselves leads over another device.
    let server = try host.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.bind(to: SocketAddress(.any, port: 99))
    try server.listen()
    let near = try host.stack.socket(.tcp)
    near.isNonBlocking = true
    try? near.connect(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 99))
    connection.peer.advance(.zero)
    try near.setZeroCopy(true)
    #expect(errno { () throws(SocketError) in try near.send(memory, 0..<10) } == 19)
  }

  @Test("T15 a capture has the headers, and what looks at messages sees none of the bytes")
  func lookers() throws {
    let (connection, _, memory) = try connected()
    try connection.socket.setZeroCopy(true)
    _ = try connection.peer.host.stack.hooks.inspectSends(byteCount: 4) { message in
      message.bytes.isEmpty ? nil : .EPERM
    }
    try connection.socket.send(memory, 0..<10)
    #expect(connection.takeData() == Array(bytes[..<10]))
  }
}
