import SwiftStack

/// The head of a request: RFC 9112, sections 3 and 5.
struct RequestHead {
  /// In capitals; empty when the head is not one.
  var method = ""
  /// As it came, percent-encoded.
  var target = ""
  /// Neither side wants to go on after it.
  var isLast = true
  /// One host is named, as HTTP/1.1 demands.
  var hasHost = false
  /// A body would follow, which no method that is served here has.
  var hasBody = false

  /// - Parameter lines: without their ends.
  init(_ lines: [Substring]) {
    let words = lines.first?.split(separator: " ", omittingEmptySubsequences: false) ?? []
    guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else { return }
    isLast = words[2] == "HTTP/1.0"
    var hosts = 0
    for line in lines.dropFirst() {
      // Nothing stands between a name and its colon, and no line goes on in the next: RFC 9112, sections 5.1 and 5.2.
      guard let colon = line.firstIndex(of: ":"), colon > line.startIndex,
        !line[..<colon].contains(where: { $0 == " " || $0 == "\t" })
      else { return }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      switch line[..<colon].lowercased() {
      case "connection":
        isLast = isLast && value.lowercased() != "keep-alive" || value.lowercased() == "close"
      case "host": hosts += 1
      case "content-length": hasBody = hasBody || value != "0"
      case "transfer-encoding": hasBody = true
      default: break
      }
    }
    // Neither none nor two: RFC 9112, section 3.2.
    hasHost = hosts == 1 || hosts == 0 && words[2] == "HTTP/1.0"
    method = String(words[0])
    target = Self.origin(words[1])
  }

  /// A target as a server has it, also of one that names the server (RFC 9112, section 3.2.2).
  private static func origin(_ target: Substring) -> String {
    let scheme = "http://"
    guard target.lowercased().hasPrefix(scheme) else { return String(target) }
    let path = target.dropFirst(scheme.count).drop { $0 != "/" }
    return path.isEmpty ? "/" : String(path)
  }
}

/// Takes requests out of a stream of bytes, which may come in any pieces.
struct RequestReader {
  private let client: Socket
  private var buffer: [UInt8] = []
  /// A head that is longer is refused.
  private static let limit = 16 << 10

  init(_ client: Socket) { self.client = client }

  /// The next request's head; `nil`: the peer sends no more.
  mutating func next() async throws -> RequestHead? {
    while true {
      if let end = endOfHead, end <= Self.limit {
        let text = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(..<end)
        return RequestHead(text.split(whereSeparator: \.isNewline))
      }
      if buffer.count >= Self.limit { return RequestHead([]) }
      let bytes = try await client.receive(upTo: 4096)
      if bytes.isEmpty { return nil }
      buffer += bytes
    }
  }

  /// Behind the empty line that ends a head.
  private var endOfHead: Int? {
    var index = 3
    while index < buffer.count {
      if buffer[index] == 10, buffer[index - 1] == 13, buffer[index - 2] == 10, buffer[index - 3] == 13 {
        return index + 1
      }
      index += 1
    }
    return nil
  }
}
