import Glibc
import SwiftStack
import TestSupport
import Testing

@Suite("T5 splice from a pipe")
struct PipeSpliceTests {
  /// A pipe with bytes in it.
  private final class Pipe {
    let reading: Int32
    private(set) var writing: Int32

    init(_ bytes: [UInt8] = []) throws {
      var ends: [Int32] = [-1, -1]
      // Safe: the array has the two places that pipe(2) writes.
      let made = unsafe ends.withUnsafeMutableBufferPointer { unsafe Glibc.pipe($0.baseAddress!) }
      try #require(made == 0)
      (reading, writing) = (ends[0], ends[1])
      put(bytes)
    }
    deinit {
      end()
      close(reading)
    }

    func put(_ bytes: [UInt8]) {
      _ = unsafe bytes.withUnsafeBytes { unsafe write(writing, $0.baseAddress, $0.count) }
    }
    func end() {
      if writing >= 0 { close(writing) }
      writing = -1
    }
    /// Bytes that are still in it.
    var left: Int {
      var count: Int32 = 0
      // Safe: FIONREAD writes an int.
      _ = unsafe ioctl(reading, UInt(FIONREAD), &count)
      return Int(count)
    }
  }

  private func errno(_ body: () throws(SocketError) -> Int) -> Errno? {
    do throws(SocketError) {
      _ = try body()
      return nil
    } catch { return error.errno }
  }

  @Test("T5 what is in the pipe goes, as much as is asked for, and the rest stays; 0 at its end")
  func takes() throws {
    let connection = try ScriptedConnection(peer: ScriptedPeer())
    let pipe = try Pipe(Array(0..<100))
    #expect(try connection.socket.splice(from: pipe.reading, count: 60) == 60)
    #expect(connection.takeData() == Array(0..<60) && pipe.left == 40)
    #expect(try connection.socket.splice(from: pipe.reading, count: 0) == 0)
    #expect(try connection.socket.splice(from: pipe.reading, count: 1000) == 40)
    connection.acknowledge()
    #expect(connection.takeData() == Array(60..<100) && pipe.left == 0)
    #expect(
      errno { () throws(SocketError) in try connection.socket.splice(from: pipe.reading, count: 9) }
        == .EAGAIN)
    pipe.end()
    #expect(try connection.socket.splice(from: pipe.reading, count: 9) == 0)
  }

  @Test("T5 what the socket has no room for is not lost")
  func keeps() throws {
    let connection = try ScriptedConnection(peer: ScriptedPeer(), window: 1000)
    try connection.socket.setsockopt(level: 1, name: 7, 2304)
    let bytes = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    let pipe = try Pipe(bytes)
    var sent = 0
    var received: [UInt8] = []
    for _ in 0..<10_000 where received.count < bytes.count {
      do throws(SocketError) { sent += try connection.socket.splice(from: pipe.reading, count: 60_000) } catch
      {
        #expect(error.errno == .EAGAIN)
      }
      #expect(pipe.left == bytes.count - sent)
      received += connection.takeData()
      connection.acknowledge()
    }
    #expect(received == bytes && pipe.left == 0)
  }

  @Test("T5 packets carry the memory that was spliced, and one datagram is one splice")
  func datagram() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    let pipe = try Pipe([1, 2, 3])
    #expect(try socket.splice(from: pipe.reading, count: 99) == 3)
    peer.advance(.zero)
    #expect(peer.otherFrames.last.map { Array($0[42..<45]) } == [1, 2, 3])
  }

  @Test("T5 what is no pipe is EINVAL, and what is not open EBADF")
  func refuses() throws {
    let connection = try ScriptedConnection(peer: ScriptedPeer())
    let file = unsafe open("/dev/null", O_RDONLY)
    defer { close(file) }
    #expect(errno { () throws(SocketError) in try connection.socket.splice(from: file, count: 9) } == .EINVAL)
    #expect(errno { () throws(SocketError) in try connection.socket.splice(from: -1, count: 9) } == .EBADF)
    let pipe = try Pipe([1, 2, 3])
    #expect(
      errno { () throws(SocketError) in try connection.socket.splice(from: pipe.reading, count: -1) }
        == .EINVAL)
    // A socket that cannot send leaves the pipe as it is.
    try connection.socket.shutdown(write: true)
    #expect(
      errno { () throws(SocketError) in try connection.socket.splice(from: pipe.reading, count: 9) } == .EPIPE
    )
    #expect(pipe.left == 3)
  }
}
