import InetSocket
import Tables
import Testing

@testable import TCP

@Suite("What a connection takes")
struct ConnectionSizeTests {
  /// Ten thousand idle connections are this, their accounts and a little more: whoever adds to it should know.
  @Test("a connection is at most 1,640 bytes, and without holes that order or width would close")
  func size() {
    // Debug builds count what is looked at.
    let counted = 2 * (MemoryLayout<Landmarks>.stride - MemoryLayout<[Int]>.stride)
    #expect(MemoryLayout<TCPConnection>.stride - counted <= 1640)
    #expect(MemoryLayout<TCPSocketOptions>.stride + MemoryLayout<SocketOptions>.stride <= 144)
    #expect(MemoryLayout<RecoveryState>.stride <= 144)
  }

  @Test("a narrow number is the number it was given, within its width")
  func narrow() {
    @Narrow<UInt8> var scale = 14
    @Narrow<Int32> var segments = 0
    segments -= 1
    #expect(scale == 14 && segments == -1)
    segments = Int(Int32.max)
    scale = 255
    #expect(scale == 255 && segments == Int(Int32.max))
  }

  @Test("a narrow optional tells none from 0")
  func narrowOptional() {
    @NarrowOptional var slot: Int? = nil
    #expect(slot == nil)
    slot = 0
    #expect(slot == 0)
    slot = Int(Int32.max)
    #expect(slot == Int(Int32.max))
    slot = nil
    #expect(slot == nil)
  }
}
