import SwiftStack

/// A socket by its name in the script.
final class AgentSocket {
  let socket: Socket
  /// Bytes sent so far, from which the next ones' values follow.
  private var sent = 0

  init(_ socket: Socket) {
    self.socket = socket
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
      return Self.describe(received)
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
    case "name": return "name \(try socket.localAddress)"
    case "peername": return "name \(try socket.remoteAddress)"
    default: fatalError("The script says \(verb), which is no call.")
    }
    return "ok"
  }

  private func send(_ count: Int, to address: SocketAddress?, _ flags: MessageFlags) throws(SocketError)
    -> Int
  {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: (sent + $0) % 251) }
    let taken =
      flags.contains(.zeroCopy) && count > 0
      ? try socket.send(ExternalMemory(copying: bytes), to: address, flags: flags)
      : try socket.send(bytes, to: address, flags: flags)
    sent += taken
    return taken
  }

  private static func describe(_ received: Received) -> String {
    let sum = received.bytes.reduce(0) { ($0 &* 31 &+ UInt32($1)) & 0xFFFFFF }
    var text = "got \(received.byteCount) \(sum)"
    if let source = received.source { text += " from \(source)" }
    let flags = received.flags.rawValue & 0x2020
    if flags != 0 { text += " flags \(String(flags, radix: 16))" }
    if let error = received.control.error, error.origin == .zeroCopy {
      // Whether a copy was made is the device's affair.
      text += " sends \(error.errno.rawValue) \(error.kind) \(error.info)-\(error.data)"
    } else if let error = received.control.error {
      text +=
        " error \(error.errno.rawValue) \(error.origin.rawValue) \(error.kind) \(error.code) \(error.info)"
      text += " by \(error.offender.map { "\($0)" } ?? "-")"
    }
    return text
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
