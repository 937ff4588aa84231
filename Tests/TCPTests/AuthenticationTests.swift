import Digests
import SkBuff
import SwiftStack
import TestSupport
import Testing
import Trace
import Wire

@testable import TCP

/// Linux's structs of TCP-AO, byte by byte.
enum AuthenticationBytes {
  static func padded(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: count - bytes.count)
  }

  /// `struct tcp_ao_add`.
  static func add(
    _ key: [UInt8] = Array("testvector".utf8), send: UInt8 = 1, receive: UInt8 = 2,
    algorithm: String = "hmac(sha1)", address: [UInt8] = [0, 0, 0, 0], prefix: UInt8 = 0, bits: UInt8 = 0,
    code: UInt8 = 0, flags: UInt8 = 0
  ) -> [UInt8] {
    padded([2, 0, 0, 0] + address, 128) + padded(Array(algorithm.utf8), 64) + [0, 0, 0, 0, bits, 0, 0, 0]
      + [0, 0, prefix, send, receive, code, flags, UInt8(key.count)] + padded(key, 80)
  }

  /// `struct tcp_ao_del`.
  static func delete(
    send: UInt8 = 1, receive: UInt8 = 2, address: [UInt8] = [0, 0, 0, 0], prefix: UInt8 = 0, bits: UInt8 = 0,
    current: UInt8 = 0, next: UInt8 = 0
  ) -> [UInt8] {
    padded([2, 0, 0, 0] + address, 128) + [0, 0, 0, 0, bits, 0, 0, 0]
      + [0, 0, prefix, send, receive, current, next, 0]
  }

  /// `struct tcp_ao_info_opt`.
  static func info(bits: UInt8, current: UInt8 = 0, next: UInt8 = 0) -> [UInt8] {
    padded([bits, 0, 0, 0, 0, 0, current, next], 48)
  }

  /// `struct tcp_ao_getsockopt`.
  static func question(
    address: [UInt8]? = nil, most: UInt8 = 8, bits: UInt8 = 0, send: UInt8 = 0, receive: UInt8 = 0,
    prefix: UInt8 = 0
  ) -> [UInt8] {
    padded(address.map { [2, 0, 0, 0] + $0 } ?? [], 272)
      + padded([most, 0, 0, 0, bits, 0, send, receive, prefix], 32)
  }
}

extension Socket {
  /// - Returns: the error's number; `nil`: there was none.
  func tryOption(_ name: Int32, _ value: [UInt8]) -> Int32? {
    do throws(SocketError) {
      // Safe: a byte has no padding.
      try setsockopt(level: 6, name: name, value: unsafe value.span.bytes)
      return nil
    } catch { return error.errno.rawValue }
  }

  func authenticate(_ value: [UInt8] = AuthenticationBytes.add()) throws {
    // Safe: a byte has no padding.
    try setsockopt(level: 6, name: 38, value: unsafe value.span.bytes)
  }

  /// Good, bad, without a key, unsigned, ICMP not believed.
  func authenticationCounts() throws -> [Int] {
    let bytes = try getsockopt(level: 6, name: 40)
    return (0..<5).map { Int(bytes[8 + 8 * $0]) }
  }
}

/// A scripted peer that signs after RFC 5925 with its own arithmetic.
struct AuthenticatingPeer {
  let peer: ScriptedPeer
  var master = Array("testvector".utf8)
  /// What we sign with is what the stack receives with.
  var keyID: UInt8 = 2
  var nextKeyID: UInt8 = 1
  var ownInitial: UInt32 = Variation.current.peerSequence
  var stackInitial: UInt32 = 0

  private func trafficKey(fromPeer: Bool, _ ports: (UInt16, UInt16), isFirst: Bool) -> [UInt8] {
    let (near, far): ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    var bytes = [1] + Array("TCP-AO".utf8) + (fromPeer ? near + far : far + near)
    bytes += ScriptedPeer.bytes(ports.0) + ScriptedPeer.bytes(ports.1)
    bytes += ScriptedPeer.bytes(fromPeer ? ownInitial : stackInitial)
    bytes += isFirst ? [0, 0, 0, 0] : ScriptedPeer.bytes(fromPeer ? stackInitial : ownInitial)
    return Self.hmac(master, bytes + [0, 160])
  }

  static func hmac(_ key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
    var hmac = HMACSHA1(key: key)
    hmac.update(bytes)
    let digest = hmac.finalize()
    return (0..<20).map { digest[$0] }
  }

  /// Where the option's code is zero.
  private func code(_ segment: ScriptedSegment, fromPeer: Bool, options: [UInt8]) -> [UInt8] {
    let isFirst = segment.isSyn && !segment.isAck
    let key = trafficKey(
      fromPeer: fromPeer, (segment.sourcePort, segment.destinationPort), isFirst: isFirst)
    let initial = fromPeer ? ownInitial : stackInitial
    var bytes: [UInt8] = [0, 0, 0, segment.sequence < initial ? 1 : 0]
    let header = 20 + (options.count + 3) / 4 * 4
    bytes += fromPeer ? [10, 0, 0, 1, 10, 0, 0, 2] : [10, 0, 0, 2, 10, 0, 0, 1]
    bytes += [0, 6] + ScriptedPeer.bytes(UInt16(header + segment.payload.count))
    bytes += ScriptedPeer.bytes(segment.sourcePort) + ScriptedPeer.bytes(segment.destinationPort)
    bytes += ScriptedPeer.bytes(segment.sequence) + ScriptedPeer.bytes(segment.acknowledgment)
    bytes += [UInt8((header / 4) << 4), segment.flags] + ScriptedPeer.bytes(segment.window) + [0, 0]
    bytes += ScriptedPeer.bytes(segment.urgentPointer) + options
    bytes += [UInt8](repeating: 0, count: header - 20 - options.count) + segment.payload
    return Array(Self.hmac(key, bytes)[..<12])
  }

  /// Whether the stack has signed it with the key that it calls `keyID`, as its first option.
  func isSigned(_ segment: ScriptedSegment, keyID: UInt8 = 1, nextKeyID: UInt8 = 2) -> Bool {
    guard let option = segment.option(29), option.count == 14, segment.options.count >= 16 else {
      return false
    }
    var blank = segment.options
    blank.replaceSubrange(4..<16, with: [UInt8](repeating: 0, count: 12))
    return Array(segment.options[..<4]) == [29, 16, keyID, nextKeyID]
      && Array(option[2...]) == code(segment, fromPeer: false, options: blank)
  }

  func send(
    _ flags: UInt8, sequence: UInt32, acknowledgment: UInt32 = 0, options: [UInt8] = [],
    payload: [UInt8] = [], spoil: Bool = false
  ) {
    var segment = ScriptedSegment(flags, sequence: sequence, acknowledgment: acknowledgment)
    segment.sourcePort = peer.port
    segment.destinationPort = peer.hostPort
    segment.payload = payload
    let head: [UInt8] = [29, 16, keyID, nextKeyID]
    let blank = head + [UInt8](repeating: 0, count: 12) + options
    var code = code(segment, fromPeer: true, options: blank)
    if spoil { code[11] ^= 1 }
    segment.options = head + code + options
    peer.send(segment)
  }

  func counter(_ name: String) -> Int { peer.host.counter("TcpExtTCPAO" + name) }
}

enum AuthenticatedPair {
  /// Two stacks with keys, connected.
  static func make(
    _ left: [[UInt8]], _ right: [[UInt8]]
  ) throws -> (wire: SimulatedWire, near: Socket, far: Socket) {
    let wire = try SimulatedWire(services: false)
    let server = try wire.right.stack.socket(.tcp)
    server.isNonBlocking = true
    for value in right { try server.authenticate(value) }
    try server.bind(to: SocketAddress(.any, port: 179))
    try server.listen()
    let near = try wire.left.stack.socket(.tcp)
    near.isNonBlocking = true
    for value in left { try near.authenticate(value) }
    try? near.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 179))
    var far: Socket?
    wire.run(for: .seconds(3)) {
      far = try? server.accept()
      return far != nil
    }
    guard let far else { throw SocketError("accept", .EAGAIN) }
    far.isNonBlocking = true
    return (wire, near, far)
  }

  static func exchange(_ wire: SimulatedWire, _ from: Socket, _ to: Socket, _ count: Int) throws -> Bool {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var sent = 0
    var received: [UInt8] = []
    wire.run(for: .seconds(30)) {
      if sent < count { sent += (try? from.send(Array(bytes[sent..<min(count, sent + 20000)]))) ?? 0 }
      if let part = try? to.receive(upTo: 65536) { received += part }
      return received.count >= count
    }
    return received == bytes
  }
}

@Suite("RFC 5925 TCP-AO", .everyVariation)
struct AuthenticationTests {
  private let initial = Variation.current.peerSequence

  private func connected() throws -> (AuthenticatingPeer, Socket, ScriptedSegment) {
    var peer = AuthenticatingPeer(peer: try ScriptedPeer())
    let socket = try peer.peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.authenticate()
    try? socket.connect(to: ScriptedPeer.address)
    let syn = try #require(peer.peer.next())
    peer.peer.hostPort = syn.sourcePort
    peer.stackInitial = syn.sequence
    return (peer, socket, syn)
  }

  @Test("T14 RFC 9235 4, 5: traffic keys and codes", arguments: AuthenticationVector.all)
  func vectors(vector: AuthenticationVector) throws {
    func bytes(_ text: String) -> [UInt8] {
      let digits = text.map { UInt8($0.hexDigitValue ?? 0) }
      return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
    let packet = bytes(vector.packet)
    let tcp = Array(packet[20...])
    // Safe: a byte has no padding.
    let header = try #require(IPv4Header(parsing: unsafe packet.span.bytes))
    let segment = try #require(TCPHeader(parsing: unsafe tcp.span.bytes))
    let options = TCPOptions(parsing: unsafe tcp.span.bytes, headerByteCount: segment.headerByteCount)
    let option = try #require(options.authentication)
    let isClient = segment.destinationPort == 179
    #expect((option.keyID, option.nextKeyID) == (isClient ? (61, 84) : (84, 61)))
    let master = MasterKey(
      peers: IPv4Prefix(IPv4Address(0, 0, 0, 0), length: 0)!, sendID: option.keyID,
      receiveID: option.nextKeyID,
      algorithm: vector.usesCMAC ? .cmacAES128 : .hmacSHA1, key: Array("testvector".utf8), codeByteCount: 12,
      flags: vector.excludesOptions ? 2 : 0)
    let key = master.trafficKey(
      KeyContext(
        source: header.source, destination: header.destination, sourcePort: segment.sourcePort,
        destinationPort: segment.destinationPort, sourceInitial: SequenceNumber(vector.source),
        destinationInitial: SequenceNumber(vector.destination)))
    #expect(key.bytes == bytes(vector.trafficKey))

    let tracer = Tracer(capacity: 4)
    let pool = SkBuffPool(limit: 1 << 20, tracer: tracer)
    defer {
      pool.destroy()
      tracer.destroy()
    }
    guard var skb = pool.allocate(headroom: 0, linear: tcp.count, use: .transit) else {
      Issue.record("no memory")
      return
    }
    skb.put(unsafe tcp.span.bytes)
    let signed = SegmentAuthentication(
      option: option, key: key, extension32: 0, excludesOptions: master.excludesOptions)
    let isGood = skb.hasCode(
      from: header.source, to: header.destination, headerByteCount: segment.headerByteCount, signed)
    let code = skb.code(
      from: header.source, to: header.destination, headerByteCount: segment.headerByteCount, signed)
    skb.consumed()
    #expect(isGood)
    #expect((0..<12).map { code[$0] } == Array(tcp[Int(option.offset)..<Int(option.offset) + 12]))
  }

  @Test("T14 AO: what a connection sends is signed, in segments of one MSS, with time stamps on its SYN")
  func signs() throws {
    let (peer, socket, syn) = try connected()
    #expect(peer.isSigned(syn) && syn.timestamps != nil && syn.option(4) != nil && syn.option(3) != nil)
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    let ack = try #require(peer.peer.next())
    #expect(ack.flags == 0x10 && peer.isSigned(ack))
    _ = try socket.send([UInt8](repeating: 7, count: 4000))
    let data = peer.peer.all()
    #expect(data.map(\.payload.count) == [1444, 1444, 1112])
    #expect(data.allSatisfy { peer.isSigned($0) })
    peer.peer.advance(.seconds(1))
    let again = peer.peer.all()
    #expect(!again.isEmpty && again.allSatisfy { peer.isSigned($0) })
    peer.send(0x10, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 4001, payload: [1, 2, 3])
    #expect(try socket.receive(upTo: 9) == [1, 2, 3])
    #expect(try socket.authenticationCounts() == [2, 0, 0, 0, 0])
    socket.close()
    #expect(peer.peer.all().allSatisfy { peer.isSigned($0) })
  }

  @Test("T14 AO: unsigned segments, wrong codes and unknown keys are dropped and counted, resets too")
  func refuses() throws {
    var (peer, socket, syn) = try connected()
    peer.peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    #expect(peer.peer.next() == nil && peer.counter("Required") == 1)
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, spoil: true)
    #expect(peer.peer.next() == nil && peer.counter("Bad") == 1)
    peer.keyID = 77
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1)
    #expect(peer.peer.next() == nil && peer.counter("KeyNotFound") == 1)
    peer.keyID = 2
    #expect(socket.tcpInfo?.state == .synSent)
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1)
    #expect(peer.peer.next()?.flags == 0x10 && peer.counter("Good") == 1)
    peer.peer.send(0x14, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1)
    peer.send(0x14, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1, spoil: true)
    #expect(socket.tcpInfo?.state == .established)
    #expect(try socket.authenticationCounts() == [1, 2, 1, 2, 0])
    peer.send(0x14, sequence: initial &+ 1, acknowledgment: syn.sequence &+ 1)
    #expect(socket.takeError() == .ECONNRESET)
  }

  @Test("T14 AO: who has no key drops what is signed, and what says twice that it is")
  func unexpected() throws {
    let scripted = try ScriptedPeer()
    let connection = try ScriptedConnection(peer: scripted)
    var peer = AuthenticatingPeer(peer: scripted)
    peer.stackInitial = connection.acknowledgment &- 1
    peer.send(0x10, sequence: connection.sequence, acknowledgment: connection.acknowledgment, payload: [5])
    #expect(peer.counter("KeyNotFound") == 1)
    let twice: [UInt8] = [29, 4, 1, 1, 29, 4, 1, 1]
    scripted.send(
      0x10, sequence: connection.sequence, acknowledgment: connection.acknowledgment, options: twice,
      payload: [5])
    #expect(throws: SocketError.self) { try connection.socket.receive(upTo: 1) }
    #expect(peer.counter("KeyNotFound") == 1)
  }

  @Test("T14 AO: a listener's keys are its requests' and its children's, to TIME-WAIT")
  func listens() throws {
    let listening = try ListeningPeer { socket in try socket.authenticate() }
    var peer = AuthenticatingPeer(peer: listening.peer)
    listening.peer.send(0x02, sequence: initial, options: [2, 4, 5, 0xB4])
    #expect(listening.peer.next() == nil && peer.counter("Required") == 1)
    peer.send(0x10, sequence: initial, acknowledgment: 9)
    #expect(listening.peer.next() == nil)
    peer.send(0x02, sequence: initial, options: [2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0])
    let answer = try #require(listening.peer.next())
    peer.stackInitial = answer.sequence
    #expect(answer.flags == 0x12 && peer.isSigned(answer) && answer.timestamps != nil)
    listening.peer.advance(.seconds(1))
    let again = try #require(listening.peer.next())
    #expect(again.flags == 0x12 && peer.isSigned(again))
    // What completes it has to be signed, as its SYN was.
    listening.peer.send(0x10, sequence: initial &+ 1, acknowledgment: answer.sequence &+ 1)
    #expect(throws: SocketError.self) { try listening.server.accept() }
    #expect(peer.counter("Bad") == 1 && peer.counter("Required") == 1)
    peer.send(0x10, sequence: initial &+ 1, acknowledgment: answer.sequence &+ 1, payload: [5])
    let child = try listening.server.accept()
    #expect(try child.receive(upTo: 9) == [5])
    try child.send([6])
    #expect(listening.peer.all().allSatisfy { peer.isSigned($0) })
    child.close()
    #expect(listening.peer.all().allSatisfy { peer.isSigned($0) })
    peer.send(0x11, sequence: initial &+ 2, acknowledgment: answer.sequence &+ 3)
    _ = listening.peer.all()
    #expect(listening.peer.host.timeWaitCount == 1)
    listening.peer.advance(.seconds(1))
    peer.send(0x11, sequence: initial &+ 2, acknowledgment: answer.sequence &+ 3)
    let last = try #require(listening.peer.next())
    #expect(last.flags == 0x10 && peer.isSigned(last))
    // Nobody knows the connection: nothing could sign a reset.
    listening.peer.port = 7009
    peer.send(0x10, sequence: initial, acknowledgment: 5)
    #expect(listening.peer.next() == nil)
  }

  @Test("T14 AO: a reset answers with the key that is asked for, or not at all")
  func resets() throws {
    var (peer, socket, syn) = try connected()
    defer { socket.close() }
    peer.nextKeyID = 9
    peer.send(0x10, sequence: initial, acknowledgment: syn.sequence &+ 9)
    #expect(peer.peer.next() == nil)
  }

  @Test("RFC 5925 7.8 T14 AO: ICMP does not end a connection, unless it is accepted")
  func icmp() throws {
    let (peer, socket, syn) = try connected()
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    _ = peer.peer.all()
    try socket.setsockopt(level: 0, name: 11, 1)
    _ = try socket.send([1])
    let data = try #require(peer.peer.next())
    peer.peer.sendICMP(type: 3, code: 2, quoting: data, sequence: data.sequence)
    #expect(socket.takeError() == nil && peer.counter("DroppedIcmps") == 1)
    #expect(try socket.authenticationCounts()[4] == 1)
    #expect(socket.tryOption(40, AuthenticationBytes.info(bits: 16)) == nil)
    peer.peer.sendICMP(type: 3, code: 2, quoting: data, sequence: data.sequence)
    #expect(socket.takeError() != nil && peer.counter("DroppedIcmps") == 1)
  }

  @Test(
    "T14 AO: two stacks, with both algorithms, options covered or not, codes of several lengths",
    arguments: [
      ("hmac(sha1)", 0, 12), ("cmac(aes128)", 0, 12), ("cmac(aes128)", 2, 16), ("hmac(sha1)", 2, 4),
    ])
  func twoStacks(algorithm: String, flags: UInt8, code: UInt8) throws {
    let (wire, near, far) = try AuthenticatedPair.make(
      [AuthenticationBytes.add(send: 5, receive: 6, algorithm: algorithm, code: code, flags: flags)],
      [AuthenticationBytes.add(send: 6, receive: 5, algorithm: algorithm, code: code, flags: flags)])
    #expect(try AuthenticatedPair.exchange(wire, near, far, 12_000))
    #expect(try AuthenticatedPair.exchange(wire, far, near, 6_000))
    #expect(wire.left.counter("TcpExtTCPAOGood") > 5 && wire.right.counter("TcpExtTCPAOGood") > 8)
    #expect(wire.left.counter("TcpExtTCPAOBad") == 0 && wire.right.counter("TcpExtTCPAOBad") == 0)
    #expect(near.tcpInfo?.totalRetransmissions == 0)
  }

  @Test("T14 AO: other keys, or none at one end: nobody connects")
  func strangers() throws {
    for other in [
      AuthenticationBytes.add([1], send: 6, receive: 5), AuthenticationBytes.add(send: 6, receive: 7),
    ] {
      #expect(throws: (any Error).self) {
        _ = try AuthenticatedPair.make([AuthenticationBytes.add(send: 5, receive: 6)], [other])
      }
    }
    #expect(throws: (any Error).self) {
      _ = try AuthenticatedPair.make([AuthenticationBytes.add(send: 5, receive: 6)], [])
    }
    #expect(throws: (any Error).self) {
      _ = try AuthenticatedPair.make([], [AuthenticationBytes.add(send: 6, receive: 5)])
    }
  }

  @Test("T14 AO: keys are changed while data flows: one end asks for another key, the other takes it up")
  func changesKeys() throws {
    let (wire, near, far) = try AuthenticatedPair.make(
      [AuthenticationBytes.add(send: 1, receive: 2)], [AuthenticationBytes.add(send: 2, receive: 1)])
    #expect(try AuthenticatedPair.exchange(wire, near, far, 3_000))
    try near.authenticate(AuthenticationBytes.add([9, 9], send: 3, receive: 4, algorithm: "cmac(aes128)"))
    try far.authenticate(AuthenticationBytes.add([9, 9], send: 4, receive: 3, algorithm: "cmac(aes128)"))
    #expect(try AuthenticatedPair.exchange(wire, near, far, 3_000))
    // Near asks far to sign with the new one; it still signs with the old one itself.
    #expect(near.tryOption(40, AuthenticationBytes.info(bits: 2, next: 4)) == nil)
    #expect(try AuthenticatedPair.exchange(wire, near, far, 3_000))
    #expect(try AuthenticatedPair.exchange(wire, far, near, 3_000))
    #expect(try Array(near.getsockopt(level: 6, name: 40)[6..<8]) == [1, 4])
    #expect(try Array(far.getsockopt(level: 6, name: 40)[6..<8]) == [4, 1])
    #expect(near.tryOption(39, AuthenticationBytes.delete(send: 1, receive: 2)) == 16)
    #expect(far.tryOption(40, AuthenticationBytes.info(bits: 2, next: 3)) == nil)
    #expect(try AuthenticatedPair.exchange(wire, far, near, 3_000))
    #expect(near.tryOption(39, AuthenticationBytes.delete(send: 1, receive: 2)) == nil)
    #expect(far.tryOption(39, AuthenticationBytes.delete(send: 2, receive: 1)) == nil)
    #expect(try AuthenticatedPair.exchange(wire, near, far, 3_000))
    #expect(try AuthenticatedPair.exchange(wire, far, near, 3_000))
    #expect(wire.left.counter("TcpExtTCPAOBad") == 0 && wire.right.counter("TcpExtTCPAOKeyNotFound") == 0)
  }

  @Test("T14 MD5 and AO exclude each other for a peer")
  func exclusive() throws {
    let host = try SimulatedStack()
    let socket = try host.stack.socket(.tcp)
    #expect(socket.tryOption(14, SigningPeer.option([1])) == nil)
    #expect(socket.tryOption(38, AuthenticationBytes.add(address: [10, 0, 0, 1], prefix: 32)) == 129)
    #expect(socket.tryOption(38, AuthenticationBytes.add(address: [10, 0, 0, 9], prefix: 32)) == nil)
    #expect(socket.tryOption(14, SigningPeer.option([1], address: [10, 0, 0, 9])) == 129)
    #expect(socket.tryOption(40, AuthenticationBytes.info(bits: 4)) == 129)
    #expect(socket.tryOption(14, SigningPeer.option([])) == nil)
    #expect(socket.tryOption(40, AuthenticationBytes.info(bits: 4)) == nil)
    #expect(socket.tryOption(14, SigningPeer.option([1])) == 129)
    // A key, but none for this peer.
    do throws(SocketError) {
      try socket.connect(to: ScriptedPeer.address)
      Issue.record("connected")
    } catch { #expect(error.errno.rawValue == 129) }
  }

  @Test("T14 AO: what the options may not be")
  func optionErrors() throws {
    let host = try SimulatedStack()
    let socket = try host.stack.socket(.tcp)
    typealias Bytes = AuthenticationBytes
    func changed(_ at: Int, _ value: UInt8, _ bytes: [UInt8] = Bytes.add()) -> [UInt8] {
      var bytes = bytes
      bytes[at] = value
      return bytes
    }
    #expect(socket.tryOption(39, Bytes.delete()) == 2)
    #expect(throws: SocketError.self) { try socket.getsockopt(level: 6, name: 40) }
    #expect(socket.tryOption(38, Array(Bytes.add().dropLast())) == 22)
    #expect(socket.tryOption(38, Bytes.add() + [1]) == 7)
    for (at, value) in [(0, 10), (2, 1), (192, 1), (196, 4), (200, 1), (202, 8), (206, 4), (207, 81)] {
      #expect(socket.tryOption(38, changed(at, UInt8(value))) == 22, "byte \(at)")
    }
    #expect(socket.tryOption(38, Bytes.add(address: [10, 0, 0, 1], prefix: 24)) == 22)
    #expect(socket.tryOption(38, Bytes.add(algorithm: "hmac(nonsense)")) == 2)
    #expect(socket.tryOption(38, Bytes.add(algorithm: "cmac(aes)")) == 22)
    #expect(socket.tryOption(38, Bytes.add(code: 17)) == 90)
    #expect(socket.tryOption(38, Bytes.add(bits: 3)) == nil)
    // Numbers may not overlap where peers do.
    #expect(socket.tryOption(38, Bytes.add(send: 1, receive: 9)) == 17)
    #expect(socket.tryOption(38, Bytes.add(send: 9, receive: 2, address: [10, 0, 0, 0], prefix: 8)) == 17)
    #expect(
      socket.tryOption(38, Bytes.add([5], send: 7, receive: 8, address: [10, 0, 0, 0], prefix: 8)) == nil)
    #expect(socket.tryOption(40, Bytes.info(bits: 1, current: 50)) == 2)
    #expect(socket.tryOption(40, Bytes.info(bits: 2, next: 50)) == 2)
    #expect(socket.tryOption(40, Bytes.info(bits: 32)) == 22)
    #expect(socket.tryOption(39, Bytes.delete()) == 16)
    #expect(socket.tryOption(39, Bytes.delete(send: 1, receive: 9)) == 2)
    #expect(socket.tryOption(39, Bytes.delete(bits: 4)) == 22)
    #expect(socket.tryOption(39, Bytes.delete(bits: 3, current: 7, next: 8)) == nil)
    #expect(try Array(socket.getsockopt(level: 6, name: 40)[..<8]) == [3, 0, 0, 0, 0, 0, 7, 8])
    // A listener has no key in use; a connection that began without stays without.
    let server = try host.stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: 9))
    try server.listen()
    #expect(server.tryOption(38, Bytes.add(bits: 1)) == 22)
    #expect(server.tryOption(38, Bytes.add()) == nil)
    #expect(server.tryOption(40, Bytes.info(bits: 1, current: 1)) == 22)
    let plain = try ScriptedConnection(peer: ScriptedPeer())
    #expect(plain.socket.tryOption(38, Bytes.add()) == 106)
  }

  @Test("T14 AO: TCP_AO_GET_KEYS tells of keys, all or those asked for")
  func reads() throws {
    let host = try SimulatedStack()
    let socket = try host.stack.socket(.tcp)
    typealias Bytes = AuthenticationBytes
    func ask(_ question: [UInt8]) throws -> [UInt8] {
      // Safe: a byte has no padding.
      try socket.getsockopt(level: 6, name: 41, asking: unsafe question.span.bytes)
    }
    #expect(throws: SocketError.self) { try ask(Bytes.question(bits: 4)) }
    try socket.authenticate(Bytes.add([1, 2], send: 1, receive: 2, bits: 1))
    try socket.authenticate(
      Bytes.add(
        [3], send: 7, receive: 8, algorithm: "cmac(aes128)", address: [10, 0, 0, 0], prefix: 8, bits: 2))
    let all = try ask(Bytes.question(bits: 4))
    #expect(all.count == 608 && all[272] == 2)
    // The newest first.
    #expect(Array(all[..<8]) == [2, 0, 0, 0, 10, 0, 0, 0])
    #expect(String(decoding: all[128..<137], as: UTF8.self) == "cmac(aes)")
    #expect(Array(all[276..<284]) == [2, 0, 7, 8, 8, 12, 0, 16])
    #expect(Array(all[304 + 276..<304 + 284]) == [1, 0, 1, 2, 0, 12, 0, 2])
    #expect(Array(all[304 + 192..<304 + 194]) == [1, 2])
    #expect(try ask(Bytes.question(most: 1, bits: 4)).count == 304)
    #expect(try ask(Bytes.question(most: 0, bits: 4))[272] == 2)
    #expect(try ask(Bytes.question(bits: 1))[278] == 1)
    #expect(try ask(Bytes.question(bits: 2))[278] == 7)
    #expect(try ask(Bytes.question(address: [10, 0, 0, 5], send: 7, receive: 8, prefix: 32))[272] == 1)
    #expect(try ask(Bytes.question(address: [11, 0, 0, 5], send: 7, receive: 8, prefix: 32))[272] == 0)
    for bad in [
      Bytes.question(), Bytes.question(bits: 5), Bytes.question(bits: 8), Bytes.question(bits: 4, send: 1),
      Bytes.question(address: [10, 0, 0, 5], prefix: 33),
    ] {
      #expect(throws: SocketError.self) { try ask(bad) }
    }
  }
}
