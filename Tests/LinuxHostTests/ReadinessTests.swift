import Glibc
import Testing
import Timers

@testable import LinuxHost

@Suite("Event loop") struct ReadinessTests {
  @Test("an event descriptor wakes epoll with its token, once per drain") func eventFD() throws {
    let epoll = try Epoll()
    let event = try EventFD()
    var events = EpollEvents(capacity: 4)
    try epoll.add(event.descriptor, for: .readable, token: 0xFEED_FACE_CAFE_BEEF)
    #expect(try epoll.wait(into: &events, timeout: .zero) == 0)
    event.signal()
    event.signal()
    #expect(try epoll.wait(into: &events, timeout: nil) == 1)
    let report = events[0]
    #expect(report == EpollEvent(token: 0xFEED_FACE_CAFE_BEEF, readiness: .readable))
    let drained = [event.drain(), event.drain()]
    #expect(drained == [true, false])
    #expect(try epoll.wait(into: &events, timeout: .zero) == 0)
  }

  @Test("level reports again, edge does not, removed never") func triggers() throws {
    let epoll = try Epoll()
    let event = try EventFD()
    let number = event.descriptor.rawValue
    var events = EpollEvents(capacity: 4)
    event.signal()
    try epoll.add(rawDescriptor: number, for: .readable, token: 1)
    #expect(try epoll.wait(into: &events, timeout: .zero) == 1)
    #expect(try epoll.wait(into: &events, timeout: .zero) == 1)
    try epoll.modify(rawDescriptor: number, for: [.readable, .edgeTriggered], token: 2)
    #expect(try epoll.wait(into: &events, timeout: .zero) == 1)
    let token = events[0].token
    #expect(token == 2)
    #expect(try epoll.wait(into: &events, timeout: .zero) == 0)
    try epoll.remove(rawDescriptor: number)
    event.signal()
    #expect(try epoll.wait(into: &events, timeout: .zero) == 0)
    let error = #expect(throws: LinuxError.self) { try epoll.remove(rawDescriptor: number) }
    #expect(error?.code == ENOENT)
  }

  @Test("a deadline is waited for to the nanosecond, not to the millisecond before it") func deadline() throws
  {
    let epoll = try Epoll()
    var events = EpollEvents(capacity: 1)
    let start = MonotonicClock.now()
    let deadline = start + .microseconds(1500)
    #expect(try epoll.wait(into: &events, until: deadline, now: start) == 0)
    #expect(MonotonicClock.now() >= deadline)
    // A deadline in the past polls.
    #expect(try epoll.wait(into: &events, until: start, now: MonotonicClock.now()) == 0)
  }

  @Test("signals arrive as events on the thread that blocks them") func signals() throws {
    // The test may itself run under nohup(1).
    let before = signal(SIGHUP, SIG_DFL)
    defer { signal(SIGHUP, before) }
    let signals = try SignalFD([.terminate, .hangUp])
    #expect(signals.next() == nil)
    pthread_kill(pthread_self(), SIGTERM)
    pthread_kill(pthread_self(), SIGHUP)
    let received = [signals.next(), signals.next()]
    #expect(Set(received) == [.hangUp, .terminate])
    #expect(signals.next() == nil)
    try SignalFD.unblock([.terminate, .hangUp])
  }

  @Test("a signal that is ignored stays ignored: nohup") func ignoredSignal() throws {
    // SIGQUIT: no other test of this process touches it.
    signal(SIGQUIT, SIG_IGN)
    defer { signal(SIGQUIT, SIG_DFL) }
    #expect(Signal.quit.isIgnored && !Signal.terminate.isIgnored)
    Signal.quit.restoreDefault()
    #expect(Signal.quit.isIgnored)
    let signals = try SignalFD([.quit])
    pthread_kill(pthread_self(), SIGQUIT)
    #expect(signals.next() == nil)
    signal(SIGQUIT, SIG_DFL)
    #expect(!Signal.quit.isIgnored)
    let listened = try SignalFD([.quit])
    pthread_kill(pthread_self(), SIGQUIT)
    #expect(listened.next() == .quit)
    try SignalFD.unblock([.quit])
  }

  @Test("the wall clock is in this century and entropy does not repeat") func clocksAndEntropy() {
    // 2020-01-01 and 2100-01-01.
    #expect(
      (1_577_836_800_000_000_000...4_102_444_800_000_000_000).contains(WallClock.nanosecondsSinceEpoch()))
    #expect(Set((0..<64).map { _ in SystemEntropy.next() }).count == 64)
    var bytes = [UInt8](repeating: 0, count: 1000)
    unsafe bytes.withUnsafeMutableBytes { room in
      var span = unsafe MutableRawSpan(_unsafeBytes: room)
      SystemEntropy.fill(&span)
    }
    // 1000 random bytes have about 250 distinct values; all zeros would be one.
    #expect(Set(bytes[900...]).count > 20)
  }
}
