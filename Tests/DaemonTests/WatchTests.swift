import LinuxHost
import Testing
import Timers

@testable import Control
@testable import Daemon
@testable import NetDevice
@testable import SwiftStack

/// What a trace or a capture could not keep is counted, to the last one.
@Suite struct WatchTests {
  @Test(
    "numbers between two places that were not read",
    arguments: [
      (10, 20, 10, 0), (10, 20, 4, 6), (10, 20, 0, 10), (10, 10, 0, 0), (20, 10, 0, 0), (0, 1, 9, 0),
    ])
  func missing(start: UInt64, next: UInt64, read: Int, expected: UInt64) {
    #expect(StackTrace.missing(between: start, and: next, read: read) == expected)
  }

  static func frame(_ number: UInt64, byteCount: Int) -> CapturedFrame {
    CapturedFrame(
      number: number, time: Instant(nanoseconds: number), direction: .outgoing, originalByteCount: byteCount,
      serial: 7, gsoSize: 1448, isChecksumPartial: true, bytes: [UInt8](repeating: 1, count: byteCount))
  }

  @Test("a capture's file: its frames, and at the end what passed and what was dropped")
  func sink() throws {
    let pair = try UnixStream.pair()
    var sink = CaptureSink(pair.first, interface: "tap0", limit: 3)
    for number in 0..<3 as Range<UInt64> {
      let isFull = sink.isFull
      #expect(!isFull)
      try sink.take(Self.frame(number, byteCount: 60), wallClockOffset: 1000)
      sink.lose(number)
    }
    let (isFull, batch) = (sink.isFull, sink.batch)
    #expect(isFull && batch == 0)
    let report = try sink.finish()
    #expect(report == CaptureReport(frames: 3, dropped: 3))
    let bytes = try pair.second.descriptor.read(upTo: 1 << 20, subject: "the capture")
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    var at = 0
    var kinds: [Int] = []
    var last = 0
    while at < bytes.count {
      kinds.append(word(at))
      #expect(word(at + 4) == word(at + word(at + 4) - 4))
      last = at
      at += word(at + 4)
    }
    #expect(at == bytes.count && kinds == [0x0A0D_0D0A, 1, 6, 6, 6, 5])
    // isb_ifrecv counts what was dropped, too.
    #expect(word(last + 24) == 6 && word(last + 36) == 3)
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text.contains("skb 7, to be cut into segments of 1448 bytes, checksum left to the device"))
  }

  @Test("a batch under the lock is about 256 KiB, whatever the frames are")
  func batches() throws {
    let pair = try UnixStream.pair()
    var sink = CaptureSink(pair.first, interface: "tap0", limit: .max)
    var batches = [sink.batch]
    try sink.take(Self.frame(0, byteCount: 65536), wallClockOffset: 0)
    batches.append(sink.batch)
    try sink.take(Self.frame(1, byteCount: 1514), wallClockOffset: 0)
    batches.append(sink.batch)
    #expect(batches == [256, 4, 173])
    _ = pair.second.descriptor.rawValue
  }
}
