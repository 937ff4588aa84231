import IceHardware
import IceModel
import Testing

/// Frames that the wire has taken and puts out later.
@Suite struct FramesInFlightTests {
  /// MACLEN 14, IPLEN 20, L4LEN 32, in the descriptor's units; IPv4 with checksum, TCP.
  private let tcpOffsets: UInt64 = 7 | 5 << 7 | 8 << 14
  private let tcpCommand: UInt64 = 0x160

  private func sendSegments(_ driver: HandDriver) {
    driver.context(0x1, byteCount: 150, mss: 64)
    driver.send(GoldenFrames.driverTSO, pieces: [66, 150], command: tcpCommand, offsets: tcpOffsets)
  }

  @Test("D11 frames at the wire: the next is fetched, a packet is written back when its last frame is out")
  func completion() {
    let driver = HandDriver()
    sendSegments(driver)
    for segment in [GoldenFrames.segment0, GoldenFrames.segment1, GoldenFrames.segment2] {
      #expect(driver.fetch())
      #expect(driver.vector.bytes == segment)
      driver.device.frameTaken()
    }
    #expect(!driver.fetch())
    #expect(!driver.bus.txRing.isDone(2))
    #expect(driver.bus.registers.read(.GLPRT_UPTC) == 0)
    driver.device.frameOut(accepted: true)
    driver.device.frameOut(accepted: false)
    #expect(!driver.bus.txRing.isDone(2))
    driver.device.frameOut(accepted: true)
    #expect(driver.bus.txRing.isDone(2))
    #expect(driver.bus.registers.read(.GLPRT_UPTC) == 2)
    #expect(driver.bus.registers.read(.GLV_TEPC) == 1)
    let bytes = GoldenFrames.segment0.count + GoldenFrames.segment2.count
    #expect(driver.bus.registers.read(.GLPRT_GOTC) == UInt64(bytes))
  }

  @Test("D11 frames at the wire when the device is reset: nothing is written back for them")
  func reset() {
    let driver = HandDriver()
    let bytes = [UInt8](repeating: 7, count: 60)
    for _ in 0..<2 { driver.send(bytes, pieces: [60], command: 0, offsets: 0) }
    #expect(driver.fetch())
    driver.device.frameTaken()
    #expect(driver.fetch())
    driver.device.frameTaken()
    driver.bus.registers.write(.PFGEN_CTRL, 1)
    driver.bus.registers.write(.QTX_COMM_DBELL, 0)
    driver.next = 0
    #expect(!driver.fetch())
    driver.bus.txRing[0] = TxQuadWords(first: 0, second: 0)
    driver.send(bytes, pieces: [60], command: 0x2, offsets: 0)
    #expect(driver.fetch())
    driver.device.frameTaken()
    for _ in 0..<2 { driver.device.frameOut(accepted: true) }
    #expect(!driver.bus.txRing.isDone(0), "those were from before the reset")
    driver.device.frameOut(accepted: true)
    #expect(driver.bus.txRing.isDone(0))
  }

  @Test("D11 a packet whose last frame a fault takes is written back behind those that the wire still reads")
  func lostBehindCarried() {
    let driver = HandDriver()
    sendSegments(driver)
    driver.send([UInt8](repeating: 7, count: 60), pieces: [60], command: 0, offsets: 0)
    for _ in 0..<2 {
      #expect(driver.fetch())
      driver.device.frameTaken()
    }
    driver.device.faults.framesToDrop = 2
    #expect(!driver.fetch())
    #expect(!driver.bus.txRing.isDone(2), "the wire still reads its memory")
    driver.device.frameOut(accepted: true)
    #expect(!driver.bus.txRing.isDone(2))
    driver.device.frameOut(accepted: true)
    #expect(driver.bus.txRing.isDone(2) && driver.bus.txRing.isDone(3))
    #expect(driver.bus.registers.read(.GLPRT_UPTC) == 2)
    #expect(driver.bus.registers.read(.GLV_TEPC) == 2)
  }

  @Test("D11 a lost frame is none of those that the wire tells of after a reset")
  func resetBehindLost() {
    let driver = HandDriver()
    for _ in 0..<2 { driver.send([UInt8](repeating: 7, count: 60), pieces: [60], command: 0, offsets: 0) }
    #expect(driver.fetch())
    driver.device.frameTaken()
    driver.device.faults.framesToDrop = 1
    #expect(!driver.fetch())
    driver.bus.registers.write(.PFGEN_CTRL, 1)
    driver.bus.registers.write(.QTX_COMM_DBELL, 0)
    for index in 0..<2 { driver.bus.txRing[index] = TxQuadWords(first: 0, second: 0) }
    driver.next = 0
    #expect(!driver.fetch())
    driver.send([UInt8](repeating: 7, count: 60), pieces: [60], command: 0, offsets: 0)
    #expect(driver.fetch())
    driver.device.frameTaken()
    driver.device.frameOut(accepted: true)
    #expect(!driver.bus.txRing.isDone(0), "that was from before the reset")
    driver.device.frameOut(accepted: true)
    #expect(driver.bus.txRing.isDone(0))
  }

  @Test("D11 word of a frame from before a reset is no write-back of what the driver has posted since")
  func outAfterReset() {
    let driver = HandDriver()
    driver.send([UInt8](repeating: 7, count: 60), pieces: [60], command: 0, offsets: 0)
    #expect(driver.fetch())
    driver.device.frameTaken()
    // As the driver resets, and posts a packet before the device is looked at.
    driver.bus.registers.write(.PFGEN_CTRL, 1)
    driver.bus.registers.write(.QTX_COMM_DBELL, 0)
    driver.bus.txRing[0] = TxQuadWords(first: 0, second: 0)
    driver.next = 0
    driver.send([UInt8](repeating: 8, count: 60), pieces: [60], command: 0, offsets: 0)
    driver.device.frameOut(accepted: true)
    #expect(!driver.bus.txRing.isDone(0))
    #expect(driver.fetch())
    driver.device.frameTaken()
    driver.device.frameOut(accepted: true)
    #expect(driver.bus.txRing.isDone(0))
  }

  @Test("D11 a frame that is kept has its header copied, its payload where it was mapped")
  func keeping() {
    let driver = HandDriver()
    sendSegments(driver)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 64)
    defer { unsafe room.deallocate() }
    var kept = FrameVector()
    #expect(driver.fetch())
    unsafe kept.take(driver.vector, headerInto: room)
    #expect(kept.count == driver.vector.count && kept.byteCount == driver.vector.byteCount)
    #expect(unsafe kept.segment(at: 0).base == room.baseAddress!)
    #expect(unsafe kept.segment(at: 1).base == driver.vector.segment(at: 1).base)
    driver.device.frameTaken()
    #expect(driver.fetch())
    #expect(kept.bytes == GoldenFrames.segment0, "the next frame's header stands where its own was built")
    // A first piece without room for it is payload, and stays where it is.
    let small = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<8])
    unsafe kept.take(driver.vector, headerInto: small)
    #expect(unsafe kept.segment(at: 0).base == driver.vector.segment(at: 0).base)
    var nothing = FrameVector()
    nothing.removeAll()
    unsafe kept.take(nothing, headerInto: room)
    #expect(kept.count == 0 && kept.byteCount == 0)
  }
}
