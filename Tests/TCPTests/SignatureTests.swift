import Digests
import SwiftStack
import TestSupport
import Testing

@testable import TCP

/// A scripted peer that signs with its own arithmetic.
struct SigningPeer {
  let peer: ScriptedPeer
  let key: [UInt8]

  /// RFC 2385 2.0, from a segment's fields.
  static func signature(_ segment: ScriptedSegment, fromPeer: Bool, _ key: [UInt8]) -> [UInt8] {
    let (near, far): ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    let header = 20 + (segment.options.count + 3) / 4 * 4
    var bytes = (fromPeer ? near + far : far + near) + [0, 6]
    bytes += ScriptedPeer.bytes(UInt16(header + segment.payload.count))
    bytes += ScriptedPeer.bytes(segment.sourcePort) + ScriptedPeer.bytes(segment.destinationPort)
    bytes += ScriptedPeer.bytes(segment.sequence) + ScriptedPeer.bytes(segment.acknowledgment)
    bytes += [UInt8((header / 4) << 4), segment.flags] + ScriptedPeer.bytes(segment.window) + [0, 0]
    bytes += ScriptedPeer.bytes(segment.urgentPointer) + segment.payload + key
    var hash = MD5()
    hash.update(bytes)
    let digest = hash.finalize()
    return (0..<16).map { digest[$0] }
  }

  func isSigned(_ segment: ScriptedSegment) -> Bool {
    segment.option(19) == Self.signature(segment, fromPeer: false, key)
  }

  func send(
    _ flags: UInt8, sequence: UInt32, acknowledgment: UInt32 = 0, options: [UInt8] = [],
    payload: [UInt8] = [], window: UInt16 = 65535,
    with other: [UInt8]? = nil
  ) {
    var segment = ScriptedSegment(flags, sequence: sequence, acknowledgment: acknowledgment)
    segment.window = window
    segment.sourcePort = peer.port
    segment.destinationPort = peer.hostPort
    segment.payload = payload
    segment.options = [1, 1, 19, 18] + [UInt8](repeating: 0, count: 16) + options
    let signature = Self.signature(segment, fromPeer: true, other ?? key)
    segment.options.replaceSubrange(4..<20, with: signature)
    peer.send(segment)
  }

  /// `struct tcp_md5sig` for 10.0.0.1.
  static func option(
    _ key: [UInt8], address: [UInt8] = [10, 0, 0, 1], flags: UInt8 = 0, prefix: UInt8 = 0
  ) -> [UInt8] {
    [2, 0, 0, 0] + address + [UInt8](repeating: 0, count: 120) + [
      flags, prefix, UInt8(key.count), 0, 0, 0, 0, 0,
    ]
      + key + [UInt8](repeating: 0, count: 80 - key.count)
  }

  static func set(_ socket: Socket, _ key: [UInt8]) throws {
    let value = option(key)
    // Safe: a byte has no padding.
    try socket.setsockopt(level: 6, name: 14, value: unsafe value.span.bytes)
  }

  func counter(_ name: String) -> Int { peer.host.counter("TcpExtTCPMD5" + name) }
}

@Suite("RFC 2385 signed segments", .everyVariation)
struct SignatureTests {
  private let initial = Variation.current.peerSequence

  private func connected() throws -> (SigningPeer, Socket, ScriptedSegment) {
    let peer = try ScriptedPeer()
    let signing = SigningPeer(peer: peer, key: Array("secret".utf8))
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try SigningPeer.set(socket, signing.key)
    try? socket.connect(to: ScriptedPeer.address)
    let syn = try #require(peer.next())
    peer.hostPort = syn.sourcePort
    return (signing, socket, syn)
  }

  @Test("T14 MD5: what a connection sends is signed, in segments of one MSS, without time stamps")
  func signs() throws {
    let (signing, socket, syn) = try connected()
    #expect(signing.isSigned(syn) && syn.timestamps == nil && syn.option(4) != nil)
    signing.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    let ack = try #require(signing.peer.next())
    #expect(ack.flags == 0x10 && signing.isSigned(ack))
    _ = try socket.send([UInt8](repeating: 7, count: 4000))
    let data = signing.peer.all()
    #expect(data.map(\.payload.count) == [1440, 1440, 1120])
    #expect(data.allSatisfy { signing.isSigned($0) })
    signing.peer.advance(.seconds(1))
    let again = signing.peer.all()
    #expect(!again.isEmpty && again.allSatisfy { signing.isSigned($0) && $0.payload.count <= 1440 })
    socket.close()
  }

  @Test(
    "T14 MD5: what waited goes in segments of one MSS too; the one with which half a window is written pushes",
    arguments: [(20_000, [6, 13]), (10_000, [3, 7, 11, 13])] as [(UInt16, [Int])])
  func waits(window: UInt16, pushes: [Int]) throws {
    let (signing, socket, syn) = try connected()
    signing.send(
      0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4], window: window)
    _ = signing.peer.all()
    #expect(try socket.send([UInt8](repeating: 7, count: 14 * 1440)) == 14 * 1440)
    var all = signing.peer.all()
    #expect(all.count == min(10, Int(window) / 1440))
    for _ in 0..<3 {
      signing.send(
        0x10, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1 &+ UInt32(all.count * 1440),
        window: window)
      all += signing.peer.all()
    }
    #expect(all.count == 14 && all.allSatisfy { $0.payload.count == 1440 && signing.isSigned($0) })
    // So many segments are more than half a window, and the last one ends the send.
    #expect(all.indices.filter { all[$0].isPush } == pushes)
    socket.close()
  }

  @Test("T14 MD5: a segment without signature, and one with a wrong one, are dropped and counted")
  func refuses() throws {
    let (signing, socket, syn) = try connected()
    signing.peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    #expect(signing.peer.next() == nil && signing.counter("NotFound") == 1)
    signing.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, with: Array("other".utf8))
    #expect(signing.peer.next() == nil && signing.counter("Failure") == 1)
    #expect(socket.tcpInfo?.state == .synSent)
    signing.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1)
    #expect(signing.peer.next()?.flags == 0x10)
    // A reset, too, has to be signed.
    signing.peer.send(0x14, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1)
    #expect(socket.tcpInfo?.state == .established && signing.counter("NotFound") == 2)
    signing.send(0x14, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1)
    #expect(socket.takeError() == .ECONNRESET)
  }

  @Test("T14 MD5: a connection without a key drops what is signed")
  func unexpected() throws {
    let peer = try ScriptedPeer()
    let signing = SigningPeer(peer: peer, key: [1])
    let connection = try ScriptedConnection(peer: peer)
    signing.send(0x10, sequence: connection.sequence, acknowledgment: connection.acknowledgment, payload: [5])
    #expect(signing.counter("Unexpected") == 1)
    #expect(throws: SocketError.self) { try connection.socket.receive(upTo: 1) }
  }

  @Test("T14 MD5: a listener's key is its requests' and its children's, for that peer")
  func listens() throws {
    let listening = try ListeningPeer { socket in try SigningPeer.set(socket, [1, 2, 3]) }
    let signing = SigningPeer(peer: listening.peer, key: [1, 2, 3])
    signing.send(0x02, sequence: initial, options: [2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0])
    let answer = try #require(listening.peer.next())
    #expect(answer.flags == 0x12 && signing.isSigned(answer))
    // With SACK there is no room for time stamps.
    #expect(answer.option(4) != nil && answer.timestamps == nil)
    listening.peer.advance(.seconds(1))
    let again = try #require(listening.peer.next())
    #expect(again.flags == 0x12 && signing.isSigned(again))
    signing.send(0x10, sequence: initial &+ 1, acknowledgment: answer.sequence &+ 1, payload: [5])
    let child = try listening.server.accept()
    #expect(try child.receive(upTo: 9) == [5])
    try child.send([6])
    #expect(listening.peer.all().allSatisfy { signing.isSigned($0) })
    child.close()
    #expect(listening.peer.all().allSatisfy { signing.isSigned($0) })
    // In TIME-WAIT, too.
    signing.send(0x11, sequence: initial &+ 2, acknowledgment: answer.sequence &+ 3)
    _ = listening.peer.all()
    #expect(listening.peer.host.timeWaitCount == 1)
    listening.peer.advance(.seconds(1))
    signing.send(0x11, sequence: initial &+ 2, acknowledgment: answer.sequence &+ 3)
    let last = try #require(listening.peer.next())
    #expect(last.flags == 0x10 && signing.isSigned(last))
  }

  @Test(
    "T14 MD5: a reset is signed; for a signed segment that nobody knows there is none, but where a listener has the key"
  )
  func resets() throws {
    let (signing, socket, syn) = try connected()
    defer { socket.close() }
    signing.send(0x10, sequence: initial, acknowledgment: syn.sequence &+ 9)
    let reset = try #require(signing.peer.next())
    #expect(reset.isRst && signing.isSigned(reset))
    signing.peer.hostPort = 81
    signing.send(0x10, sequence: initial, acknowledgment: 5)
    #expect(signing.peer.next() == nil)
    // The peer's port is one that a listener here has with a key for it.
    let server = try signing.peer.host.stack.socket(.tcp)
    try SigningPeer.set(server, signing.key)
    try server.bind(to: SocketAddress(.any, port: signing.peer.port))
    try server.listen()
    signing.send(0x10, sequence: initial, acknowledgment: 5, with: [9])
    #expect(signing.peer.next() == nil)
    signing.send(0x10, sequence: initial, acknowledgment: 5)
    let known = try #require(signing.peer.next())
    #expect(known.flags == 0x04 && signing.isSigned(known))
  }

  @Test("T14 MD5: keys by prefix, the longest first; taken away by an empty one")
  func prefixes() throws {
    var keys = SignatureKeys()
    func prefix(_ text: String) -> IPv4Prefix { IPv4Prefix(text)! }
    keys.set([1], of: 0, for: prefix("0.0.0.0/0"))
    keys.set([2], of: 0, for: prefix("10.0.0.0/8"))
    keys.set([3], of: 0, for: prefix("10.0.0.1/32"))
    func key(_ text: String) -> [UInt8]? { keys.key(of: 0, for: IPAddress(IPv4Address(text)!)) }
    #expect(key("10.0.0.1") == [3] && key("10.0.0.2") == [2] && key("11.0.0.1") == [1])
    #expect(keys.key(of: 1, for: IPAddress(IPv4Address(10, 0, 0, 1))) == nil)
    let (first, second) = (
      keys.remove(of: 0, for: prefix("10.0.0.1/32")), keys.remove(of: 0, for: prefix("10.0.0.1/32"))
    )
    #expect(first && !second)
    #expect(key("10.0.0.1") == [2])
    keys.set([4], of: 0, for: prefix("10.0.0.0/8"))
    #expect(key("10.0.0.1") == [4] && keys.areInUse)
    keys.removeAll(of: 0)
    #expect(!keys.areInUse)
  }

  @Test("T14 MD5: what the option may not be")
  func optionErrors() throws {
    let host = try SimulatedStack()
    let socket = try host.stack.socket(.tcp)
    func set(_ name: Int32, _ value: [UInt8]) -> Errno? {
      do throws(SocketError) {
        // Safe: a byte has no padding.
        try socket.setsockopt(level: 6, name: name, value: unsafe value.span.bytes)
        return nil
      } catch { return error.errno }
    }
    #expect(set(14, [0]) == .EINVAL)
    #expect(set(14, Array(SigningPeer.option([1]).dropLast())) == .EINVAL)
    #expect(set(14, SigningPeer.option([])) == Errno(rawValue: 2))
    #expect(set(14, SigningPeer.option([UInt8](repeating: 1, count: 80))) == nil)
    #expect(set(14, SigningPeer.option([])) == nil)
    // A prefix counts for the longer form of the option only.
    #expect(set(14, SigningPeer.option([1], flags: 1, prefix: 33)) == nil)
    #expect(set(32, SigningPeer.option([1], flags: 1, prefix: 33)) == .EINVAL)
    #expect(set(32, SigningPeer.option([1], flags: 1, prefix: 0)) == nil)
    var other = SigningPeer.option([1])
    other[0] = 10
    #expect(set(14, other) == .EINVAL)
    #expect(throws: SocketError.self) { try socket.getsockopt(level: 6, name: 14, maximum: 216) }
  }
}
