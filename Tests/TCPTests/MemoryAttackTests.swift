import SwiftStack
import TestSupport
import Testing
import Timers

/// A peer that opens connections to the services of a stack with little packet memory and makes it keep things.
final class MemoryAttacker {
  struct Victim {
    var port: UInt16
    var next: UInt32
    var acknowledgment: UInt32
  }
  let peer: FramePeer
  var victims: [Victim] = []
  private var nextPort: UInt16 = 1024

  init(memory: Int = 4 << 20, ring: Int = 64, settings: NetSettings = NetSettings()) throws {
    peer = try FramePeer { configuration in
      configuration.packetMemory = memory
      configuration.ring = ring
      configuration.services = true
      configuration.settings = settings
    }
  }

  func port() -> UInt16 {
    nextPort = nextPort == 65535 ? 1024 : nextPort + 1
    return nextPort
  }

  /// Opens a connection; `nil` when the stack does not answer.
  func open(to service: UInt16, window: UInt16 = 65535, options: [UInt8] = [2, 4, 5, 0xB4]) -> Victim? {
    let own = port()
    _ = peer.takePackets()
    peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: own, to: service, sequence: 999, options: options)))
    guard let answer = peer.takePackets().last(where: { $0[9] == 6 && $0[33] == 0x12 }) else { return nil }
    let theirs = Self.word(answer, 24)
    let victim = Victim(port: own, next: 1000, acknowledgment: theirs &+ 1)
    send(victim, to: service, sequence: 1000, window: window)
    return victim
  }

  func send(
    _ victim: Victim, to service: UInt16, flags: UInt8 = 0x10, sequence: UInt32, window: UInt16 = 65535,
    _ payload: [UInt8] = []
  ) {
    peer.receive(
      FramePeer.ip(
        6,
        FramePeer.tcp(
          flags, from: victim.port, to: service, sequence: sequence, acknowledgment: victim.acknowledgment,
          window: window, payload)))
  }

  /// Opens a connection to discard and sends segments behind a gap.
  func openWithGap(segments: Int, of size: Int) {
    guard let victim = open(to: 9) else { return }
    let payload = [UInt8](repeating: 7, count: size)
    for index in 0..<segments {
      send(victim, to: 9, sequence: victim.next &+ 1 &+ UInt32(index * (size + 1)), payload)
    }
    victims.append(victim)
  }

  /// Ends every connection with an exact reset.
  func resetAll() {
    for victim in victims { send(victim, to: 9, flags: 0x14, sequence: victim.next) }
    victims = []
    _ = peer.takePackets()
  }

  // MARK: What has to work throughout

  /// Whether an echo request is answered.
  func ping() -> Bool {
    _ = peer.takePackets()
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, rest: [0, 1, 0, 1], [UInt8](repeating: 1, count: 56))))
    return peer.takePackets().contains { $0[9] == 1 && $0[20] == 0 }
  }

  /// Whether a new connection to daytime is told the time and closed.
  func daytime() -> Bool {
    _ = peer.takePackets()
    guard var victim = open(to: 13) else { return false }
    let answer = peer.takePackets().filter { $0[9] == 6 && $0.count > 40 }
    guard let text = answer.first(where: { $0.count > 50 }) else { return false }
    victim.acknowledgment &+= UInt32(text.count - 20 - Int(text[32] >> 4) * 4) &+ 1
    send(victim, to: 13, flags: 0x11, sequence: victim.next)
    _ = peer.takePackets()
    return true
  }

  static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }
}

@Suite("T1 memory under attack")
struct MemoryAttackTests {
  @Test("T1 an hour of segments behind a gap: ping and new connections work throughout, then memory is back")
  func hour() throws {
    let attacker = try MemoryAttacker()
    let host = attacker.peer.host
    #expect(attacker.ping() && attacker.daytime())
    let before = host.packetMemory
    var most = 0
    for minute in 0..<60 {
      for _ in 0..<40 { attacker.openWithGap(segments: 60, of: 100) }
      most = max(most, host.packetMemory.used)
      #expect(attacker.ping(), "minute \(minute)")
      #expect(attacker.daytime(), "minute \(minute)")
      attacker.peer.advance(.seconds(60))
    }
    #expect(attacker.victims.count == 2400)
    // The attack filled what may be kept, and no more.
    #expect(most > 3 << 20 - 4 << 15)
    #expect(host.packetMemory.allocated <= 4 << 20)
    #expect(attacker.peer.count("TcpExtOfoPruned") > 100)
    attacker.resetAll()
    attacker.peer.advance(.seconds(120))
    #expect(host.packetMemory.used <= before.used + 65536)
    #expect(host.packetMemory.allocated <= before.allocated + 2 << 20)
    #expect(attacker.ping() && attacker.daytime())
  }

  @Test(
    "T1 what fills the gap is taken though memory is short: the connection goes on", arguments: [100, 1400])
  func gapFilled(size: Int) throws {
    let attacker = try MemoryAttacker()
    for _ in 0..<80 { attacker.openWithGap(segments: 60, of: size) }
    var moved = 0
    for victim in attacker.victims {
      _ = attacker.peer.takePackets()
      attacker.send(victim, to: 9, sequence: victim.next, [1])
      if attacker.peer.takePackets().contains(where: {
        $0[9] == 6 && MemoryAttacker.word($0, 28) != victim.next && $0[33] & 4 == 0
      }) {
        moved += 1
      }
    }
    #expect(moved == attacker.victims.count && moved == 80)
  }

  @Test("B4 TCPMemoryPressures counts entries into pressure, not segments; pressure ends below low")
  func entries() throws {
    let attacker = try MemoryAttacker()
    for round in 1...3 {
      for _ in 0..<60 { attacker.openWithGap(segments: 60, of: 100) }
      #expect(attacker.peer.count("TcpExtTCPMemoryPressures") == UInt64(round))
      attacker.resetAll()
      #expect(attacker.ping())
    }
  }

  @Test("T1 a closed connection keeps no out-of-order data, and pruning it is not counted as pruning")
  func orphan() throws {
    let attacker = try MemoryAttacker()
    let stack = attacker.peer.host.stack
    let listener = try stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 9000))
    try listener.listen()
    let victim = try #require(attacker.open(to: 9000))
    let child = try listener.accept()
    let before = attacker.peer.host.buffersInUse
    for index in 0..<50 {
      attacker.send(victim, to: 9000, sequence: 2000 + UInt32(index * 101), [UInt8](repeating: 1, count: 100))
    }
    #expect(attacker.peer.host.buffersInUse >= before + 50)
    child.close()
    // The FIN that is on its way is all that is left.
    #expect(attacker.peer.host.buffersInUse <= before + 2)
    #expect(attacker.peer.count("TcpExtOfoPruned") == 0)
  }
}
