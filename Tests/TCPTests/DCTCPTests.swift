import SwiftStack
import TestSupport
import Testing
import Wire

@testable import TCP

@Suite("RFC 8257 DCTCP")
struct DCTCPArithmeticTests {
  /// One that counts a window of so many segments at a time.
  private struct Windows {
    var control = DCTCP()
    var next: UInt32 = 0
    var arrived: UInt32 = 0
    var marked: UInt32 = 0

    init(isEnabled: Bool = true) {
      control.begin(isEnabled: isEnabled, next: SequenceNumber(0), arrived: 0, marked: 0)
      // The first ACK ends a window of nothing.
      control.acknowledged(SequenceNumber(0), next: SequenceNumber(0), arrived: 0, marked: 0)
      control.begin(isEnabled: isEnabled, next: SequenceNumber(0), arrived: 0, marked: 0)
    }

    /// - Returns: alpha after a window of segments, some of them marked.
    mutating func after(_ segments: UInt32, marked count: UInt32) -> UInt32 {
      next &+= segments
      arrived &+= segments
      marked &+= count
      control.acknowledged(SequenceNumber(next), next: SequenceNumber(next), arrived: arrived, marked: marked)
      return control.alpha
    }
  }

  @Test("3.3 alpha = alpha * (1 - g) + g * M, with g = 1/16, in 1/1024: the RFC's formula to a unit or two")
  func alpha() {
    var windows = Windows()
    #expect(windows.control.alpha == 1024)
    var exact = 1.0
    for marked in [0, 0, 10, 3, 0, 7, 10, 10, 1, 0, 0, 5] as [UInt32] {
      exact = exact * 15 / 16 + Double(marked) / 10 / 16
      let alpha = windows.after(10, marked: marked)
      #expect(abs(Double(alpha) / 1024 - exact) < 0.01, "\(marked) of 10 marked")
    }
    // 1024 - 64; 960 - 60; 900 - 56 + 64.
    windows = Windows()
    let alphas = [0, 0, 10].map { windows.after(10, marked: $0) }
    #expect(alphas == [960, 900, 908])
  }

  @Test("3.3 alpha comes to 0 without marks, and to 1 where all is marked")
  func limits() {
    var windows = Windows()
    for _ in 0..<120 { _ = windows.after(10, marked: 0) }
    #expect(windows.control.alpha == 0)
    for _ in 0..<120 { _ = windows.after(10, marked: 10) }
    #expect(windows.control.alpha >= 1009 && windows.control.alpha <= 1024)
    _ = windows.after(10, marked: 0)
    #expect(windows.control.alpha < 1009)
  }

  @Test("3.3 alpha changes once for each window of data")
  func onceForEachWindow() {
    var control = DCTCP()
    control.begin(isEnabled: true, next: SequenceNumber(1000), arrived: 5, marked: 2)
    control.acknowledged(SequenceNumber(999), next: SequenceNumber(2000), arrived: 10, marked: 4)
    #expect(control.alpha == 1024)
    // 2 of 10 since it began: 1024 - 64 + 2 * 64 / 10.
    control.acknowledged(SequenceNumber(1000), next: SequenceNumber(2000), arrived: 15, marked: 4)
    #expect(control.alpha == 972)
    control.acknowledged(SequenceNumber(1999), next: SequenceNumber(3000), arrived: 25, marked: 4)
    #expect(control.alpha == 972)
  }

  @Test("3.3 cwnd = cwnd * (1 - alpha / 2), and half of it for a loss (3.5)")
  func window() {
    var windows = Windows()
    #expect(windows.control.threshold(window: 100) == 50)
    for _ in 0..<11 { _ = windows.after(10, marked: 0) }
    let alpha = Double(windows.control.alpha) / 1024
    #expect(alpha > 0.48 && alpha < 0.51)
    #expect(windows.control.threshold(window: 1000) == 1000 - Int(1000 * alpha / 2))
    for _ in 0..<120 { _ = windows.after(10, marked: 0) }
    #expect(windows.control.threshold(window: 100) == 100 && windows.control.threshold(window: 1) == 2)
    #expect(DCTCP.halved(100) == 50 && DCTCP.halved(3) == 2)
    #expect(Windows(isEnabled: false).control.threshold(window: 100) == 50)
  }

  @Test("struct tcp_dctcp_info: enabled, CE state, alpha, and the bytes of this window")
  func info() {
    var control = DCTCP()
    #expect(control.info(mss: 1000, arrived: 9, marked: 3) == [0, 0, 0, 0])
    control.begin(isEnabled: true, next: SequenceNumber(0), arrived: 4, marked: 1)
    #expect(control.info(mss: 1000, arrived: 9, marked: 3) == [1, 1024, 2000, 5000])
    let changes = [true, true].map { control.received(isMarked: $0) }
    #expect(changes == [true, false])
    #expect(control.info(mss: 1000, arrived: 4, marked: 1) == [0x1_0001, 1024, 0, 0])
    let isChange = control.received(isMarked: false)
    #expect(isChange)
  }
}

@Suite("RFC 8257 DCTCP connections", .everyVariation)
struct DCTCPTests {
  private typealias Connection = AccurateECNConnection

  private func settings(_ ecn: Int = 2) -> NetSettings {
    var settings = Connection.settings(ecn)
    settings.tcpCongestionControl = .dctcp
    return settings
  }

  private func opened(ace: UInt8 = 0b001) throws -> Connection {
    try Connection.opened(ace: ace, settings: settings()).0
  }

  @Test("3.4 its SYN asks for ECN whatever tcp_ecn says, and is ECT(0) as all that follows is")
  func asks() throws {
    for (ecn, ace) in [(0, 0b011), (1, 0b011), (2, 0b011), (3, 0b111), (4, 0b011), (5, 0b011)]
      as [(Int, UInt8)]
    {
      let syn = try ScriptedPeer(settings: settings(ecn)).connecting().syn
      #expect(syn.ace == ace && syn.typeOfService == 2)
    }
    var connection = try opened()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 2000))
    connection.peer.advance(.seconds(1))
    connection.send(ace: 0, count: 1)
    let sent = connection.answers()
    #expect(sent.count >= 4 && sent.allSatisfy { $0.typeOfService == 2 })
  }

  @Test(
    "TCP_CONGESTION chooses it, and a listener with it grants ECN whatever tcp_ecn says, to SYNs that are ECT, too"
  )
  func grants() throws {
    let listening = try ListeningPeer(settings: Connection.settings(0)) { server in
      let name = Array("dctcp".utf8)
      unsafe try server.setsockopt(level: 6, name: 13, value: name.span.bytes)
    }
    var syn = ScriptedSegment(0xC2, sequence: Variation.current.peerSequence)
    syn.options = Connection.mss
    listening.peer.send(syn, typeOfService: 2)
    let answer = try #require(listening.peer.next())
    #expect(answer.ace == 0b001 && answer.typeOfService == 2)
    listening.peer.complete(answer)
    let child = try listening.server.accept()
    #expect(child.tcpInfo?.congestionControl == "dctcp" && child.tcpInfo?.hasECN == true)
  }

  @Test("without ECN it is Reno: nothing is ECT, and TCP_CC_INFO says so")
  func fallsBack() throws {
    let connection = try opened(ace: 0)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 100))
    #expect(connection.peer.all().allSatisfy { $0.typeOfService == 0 })
    #expect(connection.info.congestionControl == "dctcp-reno")
    #expect(
      try connection.socket.getsockopt(level: 6, name: 26, maximum: 64) == [UInt8](repeating: 0, count: 16))
    let other = try opened()
    #expect(other.info.congestionControl == "dctcp")
    #expect(try other.socket.getsockopt(level: 6, name: 26, maximum: 64)[0..<8] == [1, 0, 0, 0, 0, 4, 0, 0])
  }

  @Test("3.2 the receiver: ECE as long as marks come; what waits is sent first where the state changes")
  func receiver() throws {
    var connection = try opened()
    // Until acknowledgments wait.
    for _ in 0..<40 {
      connection.send(ace: 0, count: 100, mark: 2)
      connection.peer.advance(.milliseconds(60))
    }
    _ = connection.peer.all()
    func next(_ mark: UInt8, ace: UInt8 = 0) -> [[Int]] {
      let before = connection.sequence
      connection.send(ace: ace, count: 100, mark: mark)
      return connection.peer.all().map { [Int($0.acknowledgment &- before), Int($0.ace)] }
    }
    #expect(next(2) == [])
    // One for what waits, without ECE, and one at once with it.
    #expect(next(3) == [[0, 0], [100, 1]])
    #expect(next(3) == [])
    // CWR says nothing.
    #expect(next(3, ace: 0b010) == [[100, 1]])
    #expect(next(3) == [])
    #expect(next(2) == [[0, 1], [100, 0]])
    #expect(next(2) == [])
  }

  /// Windows without marks, in which alpha falls, and one that is out.
  ///
  /// - Returns: how many segments are acknowledged.
  private func windows(_ count: Int, _ connection: inout Connection) throws -> Int {
    var (done, sent) = (0, 0)
    for _ in 0...count {
      for segment in stride(from: done + 1, through: sent, by: 1) {
        connection.send(ace: 0, acknowledging: segment * 1460)
      }
      done = sent
      while (try? connection.socket.send([UInt8](repeating: 1, count: 65536))) != nil {}
      sent += connection.peer.all().map(\.payload.count).reduce(0, +) / 1460
    }
    return done
  }

  @Test("3.3 a marked ACK closes the window by alpha, once a window; CWR goes with the next new data")
  func reduces() throws {
    let connection = try opened()
    var other = connection
    let done = try windows(4, &other)
    let window = connection.info.congestionWindow
    let alpha = try connection.socket.getsockopt(level: 6, name: 26, maximum: 64)[4..<8]
    let value = alpha.reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(value < 900)
    other.send(ace: 0b001, acknowledging: (done + 1) * 1460)
    let threshold = try #require(connection.info.slowStartThreshold)
    #expect(threshold == window - window * value / 2048 && threshold > window / 2)
    other.send(ace: 0b001, acknowledging: (done + 2) * 1460)
    #expect(connection.info.slowStartThreshold == threshold)
    #expect(connection.info.congestionState == .congestionWindowReduced)
  }

  @Test("3.5 a loss halves, in a window that marks have closed already, too")
  func losses() throws {
    for isMarked in [false, true] {
      let connection = try opened()
      var other = connection
      let done = try windows(3, &other)
      if isMarked { other.send(ace: 0b001, acknowledging: (done + 1) * 1460) }
      let window = connection.info.congestionWindow
      for _ in 0..<4 { other.send(ace: 0, acknowledging: (done + (isMarked ? 1 : 0)) * 1460) }
      #expect(connection.info.congestionState == .recovery)
      let threshold = try #require(connection.info.slowStartThreshold)
      #expect(threshold <= window / 2 + 1 && threshold >= window / 2 - 2)
    }
  }
}
