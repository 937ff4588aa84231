import NetTestSupport
import SwiftStack

/// A socket by its name in the script.
final class AgentSocket {
  let socket: Socket
  /// Bytes sent so far, from which the next ones' values follow.
  private(set) var sent: Int

  /// What it sends begins with the header of an echo request.
  private let isEcho: Bool

  init(_ socket: Socket, isEcho: Bool = false, sent: Int = 0) {
    self.socket = socket
    self.isEcho = isEcho
    self.sent = sent
    socket.isNonBlocking = true
  }

  func answer(_ verb: String, _ words: [String]) throws(SocketError) -> String {
    switch verb {
    case "bind": try socket.bind(to: Self.address(words[0]))
    case "listen": try socket.listen(backlog: Int(words[0]) ?? 0)
    case "connect": try socket.connect(to: Self.address(words[0]))
    case "disconnect": try socket.disconnect()
    case "shutdown": try socket.shutdown(read: words[0].contains("r"), write: words[0].contains("w"))
    case "send": return "sent \(try send(Int(words[0]) ?? 0, to: nil, Self.flags(words.dropFirst())))"
    case "sendto":
      let address = Self.address(words[0])
      return "sent \(try send(Int(words[1]) ?? 0, to: address, Self.flags(words.dropFirst(2))))"
    case "recv":
      let received = try socket.recvmsg(upTo: Int(words[0]) ?? 0, flags: Self.flags(words.dropFirst()))
      return describe(received)
    case "writev":
      let taken = try socket.writev(pieces(words[0]))
      sent += taken
      return "sent \(taken)"
    case "sendmmsg":
      let address = words[0] == "-" ? nil : Self.address(words[0])
      let taken = try socket.sendmmsg(
        pieces(words[1]).map { MessageVector([$0], to: address) }, flags: Self.flags(words.dropFirst(2)))
      sent += taken.reduce(0, +)
      return "sent " + taken.map { "\($0)" }.joined(separator: " ")
    case "recvmmsg":
      let messages = try socket.recvmmsg(
        Int(words[0]) ?? 0, upTo: Int(words[1]) ?? 0, flags: Self.flags(words.dropFirst(2)))
      return "got " + messages.map { "\($0.byteCount) \(Self.digest($0.bytes))" }.joined(separator: ", ")
    case "readv":
      var rooms = words[0].split(separator: ",").map { [UInt8](repeating: 0, count: Int($0) ?? 0) }
      let received = try socket.readv(into: &rooms, flags: Self.flags(words.dropFirst()))
      return "got \(received.byteCount) " + rooms.map { "\(Self.digest($0))" }.joined(separator: " ")
    case "sendname":
      // What is said to be there and is not reads as zero.
      let length = Int(words[1]) ?? 0
      let name = Self.bytes(words[0]) + [UInt8](repeating: 0, count: 256)
      let bytes = pattern(Int(words[2]) ?? 0)
      let taken = try socket.sendmsg(
        name: name, nameLength: length, control: [], bytes, flags: Self.flags(words.dropFirst(3)))
      sent += taken
      return "sent \(taken)"
    case "sendmsg":
      let name = words[0] == "-" ? [] : Self.name(Self.address(words[0]))
      let bytes = pattern(Int(words[1]) ?? 0)
      let taken = try socket.sendmsg(
        name: name, control: Self.control(words.dropFirst(3)), bytes, flags: Self.flags(words[2...2]))
      sent += taken
      return "sent \(taken)"
    case "sendhole":
      let address = words[0] == "-" ? nil : Self.address(words[0])
      let header = MessageHeader(address: address, flags: Self.flags(words.dropFirst(3)))
      let hole = MemoryWithHole(pattern(Int(words[1]) ?? 0))
      let run = unsafe [IoVector(base: hole.base, byteCount: hole.byteCount + (Int(words[2]) ?? 0))]
      let taken = unsafe try run.withUnsafeBufferPointer { (run) throws(SocketError) in
        unsafe try socket.sendmsg(header, run, access: .checked)
      }
      sent += taken
      return "sent \(taken)"
    case "recvhole":
      let hole = MemoryWithHole([UInt8](repeating: 0, count: Int(words[0]) ?? 0))
      let run = unsafe [IoVector(base: hole.base, byteCount: hole.byteCount + (Int(words[1]) ?? 0))]
      let received = unsafe try run.withUnsafeBufferPointer { (run) throws(SocketError) in
        unsafe try socket.recvmsg(into: run, flags: Self.flags(words.dropFirst(2)), access: .checked)
      }
      return "got \(received.byteCount) \(Self.digest(Array(hole.bytes.prefix(received.byteCount))))"
    case "poll": return "poll " + String(socket.readiness.rawValue, radix: 16)
    case "set":
      let value = Self.bytes(words.count > 2 ? words[2] : "")
      // Safe: a byte has no padding.
      try socket.setsockopt(
        level: Int32(words[0]) ?? 0, name: Int32(words[1]) ?? 0, value: unsafe value.span.bytes)
    case "get":
      let value = try socket.getsockopt(
        level: Int32(words[0]) ?? 0, name: Int32(words[1]) ?? 0, maximum: Int(words[2]) ?? 0)
      return "value " + value.map { Self.hexadecimal($0) }.joined()
    case "part":
      let value = try socket.getsockopt(
        level: Int32(words[0]) ?? 0, name: Int32(words[1]) ?? 0, maximum: 1024)
      let part = value.dropFirst(Int(words[2]) ?? 0).prefix(Int(words[3]) ?? 0)
      return "value " + part.map { Self.hexadecimal($0) }.joined()
    case "ioctl":
      guard let request = SocketRequest(rawValue: UInt32(words[0]) ?? 0) else {
        fatalError("The script says \(words[0]), which is no request.")
      }
      return "value \(try socket.ioctl(request))"
    case "name": return "name \(try socket.localAddress)"
    case "peername": return "name \(try socket.remoteAddress)"
    default: fatalError("The script says \(verb), which is no call.")
    }
    return "ok"
  }

  private func send(_ count: Int, to address: SocketAddress?, _ flags: MessageFlags) throws(SocketError)
    -> Int
  {
    let bytes = pattern(count)
    let taken =
      flags.contains(.zeroCopy) && count > 0
      ? try socket.send(ExternalMemory(copying: bytes), to: address, flags: flags)
      : try socket.send(bytes, to: address, flags: flags)
    sent += taken
    return taken
  }

  private func pieces(_ counts: String) -> [[UInt8]] {
    let lengths = counts.split(separator: ",").map { Int($0) ?? 0 }
    var rest = pattern(lengths.reduce(0, +))[...]
    return lengths.map { length in
      defer { rest = rest.dropFirst(length) }
      return Array(rest.prefix(length))
    }
  }

  private static func digest(_ bytes: [UInt8]) -> UInt32 {
    bytes.reduce(0) { ($0 &* 31 &+ UInt32($1)) & 0xFFFFFF }
  }

  private func pattern(_ count: Int) -> [UInt8] {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: (sent + $0) % 251) }
    return isEcho ? [8, 0, 0, 0, 0, 0, 0, 1] + bytes.dropFirst(8) : bytes
  }

  /// A `sockaddr_in`.
  private static func name(_ address: SocketAddress) -> [UInt8] {
    let word = address.address.v4?.rawValue ?? 0
    let octets = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) }
    return [2, 0, UInt8(address.port >> 8), UInt8(address.port & 0xFF)] + octets
      + [UInt8](repeating: 0, count: 8)
  }

  /// `cmsghdr`s, each from a level, a type and bytes.
  private static func control(_ words: ArraySlice<String>) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = words
    while rest.count >= 3 {
      let parts = Array(rest.prefix(3))
      rest = rest.dropFirst(3)
      let value = Self.bytes(String(parts[2].dropFirst()))
      for (number, count) in [(value.count + 16, 8), (Int(parts[0]) ?? 0, 4), (Int(parts[1]) ?? 0, 4)] {
        bytes += (0..<count).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
      }
      bytes += value
      // The last is not padded, as nobody needs it.
      if !rest.isEmpty { bytes += [UInt8](repeating: 0, count: -bytes.count & 7) }
    }
    return bytes
  }

  private func describe(_ received: Received) -> String {
    var bytes = received.bytes
    if isEcho { for index in bytes.indices.dropFirst(2).prefix(4) { bytes[index] = 0 } }
    // Headers that no two worlds have alike.
    let isStamp = received.control.error?.origin == .timestamping
    if isStamp { bytes = [UInt8](repeating: 0, count: bytes.count) }
    var text = "got \(received.byteCount) \(Self.digest(bytes))"
    if let source = received.source { text += " from \(source)" }
    let flags = received.flags.rawValue & 0x2020
    if flags != 0 { text += " flags \(String(flags, radix: 16))" }
    var told = ""
    if let error = received.control.error, error.origin == .zeroCopy {
      // Whether a copy was made is the device's affair.
      told += " sends \(error.errno.rawValue) \(error.kind) \(error.info)-\(error.data)"
    } else if let error = received.control.error {
      if isStamp { told += " stamp \(error.errno.rawValue) \(error.info) \(error.data)" }
      told +=
        " error \(error.errno.rawValue) \(error.origin.rawValue) \(error.kind) \(error.code) \(error.info)"
      told += " by \(error.offender.map { "\($0)" } ?? "-")"
    }
    return text + Self.describe(control: received.controlMessages().bytes, error: told)
  }

  /// Every control message, one that is an error in words.
  private static func describe(control bytes: [UInt8], error: String) -> String {
    func number(_ offset: Int, _ count: Int) -> Int {
      (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << ($1 * 8) }
    }
    var text = ""
    var offset = 0
    while offset + 16 <= bytes.count {
      let length = number(offset, 8)
      let (level, kind) = (number(offset + 8, 4), number(offset + 12, 4))
      if (level, kind) == (0, 11) {
        text += error
      } else if (level, kind) == (1, 54) {
        text += " control 1 54 \(statistics(Array(bytes[offset + 16..<offset + length])))"
      } else if level == 1, [29, 35, 37, 63, 64, 65].contains(kind) {
        let isKnown = bytes[offset + 16..<offset + 32].contains { $0 != 0 }
        text += " time \(kind) \(length - 16) \(isKnown ? "known" : "unknown")"
      } else {
        text += " control \(level) \(kind) "
        text += bytes[offset + 16..<offset + length].map { hexadecimal($0) }.joined()
      }
      offset += (length + 7) & ~7
    }
    return text
  }

  /// Netlink attributes of a stamp: number and bytes, and the value where all worlds have the same: DATA_SEGS_OUT, SND_CWND,
  /// SNDQ_SIZE, SND_SSTHRESH, DELIVERED, BYTES_SENT, BYTES_NOTSENT.
  private static func statistics(_ bytes: [UInt8]) -> String {
    var words: [String] = []
    var place = 0
    while place + 4 <= bytes.count {
      let (length, number) = (Int(bytes[place]), Int(bytes[place + 2]))
      let value = (4..<max(4, length)).reversed().reduce(0) { $0 << 8 | Int(bytes[place + $1]) }
      words.append(
        "\(number):\(length - 4)" + ([4, 8, 13, 15, 16, 18, 24].contains(number) ? "=\(value)" : ""))
      place += max(4, (length + 3) & ~3)
    }
    return words.joined(separator: ",")
  }

  private static func address(_ text: String) -> SocketAddress {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let address = IPv4Address(String(parts[0])), let port = UInt16(parts[1]) else {
      fatalError("The script says \(text), which is no address.")
    }
    return SocketAddress(address, port: port)
  }
  private static func flags(_ words: ArraySlice<String>) -> MessageFlags {
    words.reduce(into: []) { flags, word in flags.formUnion(MessageFlags(rawValue: Int32(word) ?? 0)) }
  }
  private static func bytes(_ text: String) -> [UInt8] {
    var digits = text[...]
    var bytes: [UInt8] = []
    while digits.count >= 2 {
      bytes.append(UInt8(digits.prefix(2), radix: 16) ?? 0)
      digits = digits.dropFirst(2)
    }
    return bytes
  }
  private static func hexadecimal(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
}
