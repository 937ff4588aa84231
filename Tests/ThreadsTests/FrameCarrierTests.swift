import Glibc
import IceModel
import LinuxHost
import Shard
import Testing

@testable import SwiftStack

/// The thread that carries frames, over a socket pair that takes a few frames at a time.
@Suite struct FrameCarrierTests {
  /// Safety: `memory` is made in `init` and lives as long as the object.
  @safe
  private final class Rig {
    let inbox: ShardInbox
    let carrier: FrameCarrier
    let far: Int32
    private var thread: StackThread?
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
    private var frame = FrameVector(capacity: 64)

    init() throws {
      var ends: [Int32] = [0, 0]
      try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &ends) == 0)
      let near = OwnedDescriptor(owning: ends[0])
      try near.setNonBlocking()
      far = ends[1]
      inbox = ShardInbox(wakeUp: try WakeDescriptor())
      let carrier = FrameCarrier(line: TapLine(queue: TapQueue(near), hasHeader: false), inbox: inbox)
      self.carrier = carrier
      thread = try StackThread.startJoinable { carrier.run() }
      for index in unsafe memory.indices { unsafe memory[index] = UInt8(truncatingIfNeeded: index) }
    }

    deinit {
      carrier.stop()
      if let thread = thread.take() { thread.join() }
      close(far)
      inbox.close()
      unsafe memory.deallocate()
    }

    /// A frame with the number in its header, which is written over afterwards, and 1,000 bytes behind it.
    func give(_ number: Int) {
      let base = unsafe memory.baseAddress!
      unsafe base.storeBytes(of: UInt32(number), as: UInt32.self)
      frame.removeAll()
      _ = unsafe frame.appendSegment(base, byteCount: 66)
      _ = unsafe frame.appendSegment(base + 1024, byteCount: 1000)
      carrier.give(frame, WireFrameMetadata())
      unsafe base.storeBytes(of: .max, as: UInt32.self)
    }

    /// The number of the next frame that came out; -1 when it is not whole.
    func take() -> Int {
      var room = [UInt8](repeating: 0, count: 2000)
      let count = unsafe recv(far, &room, room.count, 0)
      guard count == 1066, room[66] == 0, room[67] == 1, room[1065] == UInt8(999 & 255) else { return -1 }
      return Int(room[0]) | Int(room[1]) << 8
    }
  }

  @Test("D13 carried frames go out in order and whole, those too that the wire does not take at once")
  func order() throws {
    let rig = try Rig()
    var taken = 0
    var told = 0
    for number in 0..<1000 {
      while rig.carrier.room == 0 {
        #expect(rig.take() == taken)
        taken += 1
        while case .done? = rig.carrier.takeOutcome() { told += 1 }
      }
      rig.give(number)
    }
    while taken < 1000 {
      #expect(rig.take() == taken)
      taken += 1
    }
    rig.carrier.finish()
    while case .done? = rig.carrier.takeOutcome() { told += 1 }
    #expect(told == 1000 && rig.carrier.room == FrameCarrier.capacity)
  }

  @Test("D13 whoever waits for carried frames does not wait for a wire that takes none")
  func givingUp() throws {
    let rig = try Rig()
    // No buffer of a socket pair has room for so many.
    var given = 0
    while given < FrameCarrier.capacity * 8, rig.carrier.room > 0 {
      rig.give(given)
      given += 1
      if rig.carrier.room == 0 { _ = rig.carrier.takeOutcome() }
    }
    rig.carrier.finish()
    #expect(rig.carrier.room < FrameCarrier.capacity)
    var outcomes: [Bool] = []
    while let outcome = rig.carrier.takeOutcome() {
      if case .failed(let code) = outcome {
        #expect(code == EAGAIN)
        outcomes.append(false)
      } else {
        outcomes.append(true)
      }
    }
    #expect(outcomes.contains(false) && rig.carrier.room == FrameCarrier.capacity)
  }

  @Test("T1 the event loop is woken when half of the carried frames are out, once")
  func word() throws {
    let rig = try Rig()
    let event = try #require(rig.inbox.wakeUpDescriptor)
    for round in 0..<50 {
      for number in 0..<4 { rig.give(number) }
      if rig.carrier.announce() {
        var wait = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
        #expect(unsafe poll(&wait, 1, 60_000) == 1, "round \(round)")
        rig.inbox.drainSignal()
      }
      var told = 0
      while rig.carrier.takeOutcome() != nil { told += 1 }
      #expect(told >= 2)
      rig.carrier.finish()
      while rig.carrier.takeOutcome() != nil {}
      for _ in 0..<4 { _ = rig.take() }
    }
  }
}
