import SwiftStack

/// The head of a request: RFC 9112, sections 3 and 5.
struct RequestHead {
  /// In capitals; empty when the head is not one.
  var method = ""
  /// As it came, percent-encoded.
  var target = ""
  /// Neither side wants to go on after it.
  var isLast = true
  /// A host is named, as HTTP/1.1 demands.
  var hasHost = false
  /// A body would follow, which no method that is served here has.
  var hasBody = false

  /// - Parameter lines: without their ends.
  init(_ lines: [Substring]) {
    let words = lines.first?.split(separator: " ", omittingEmptySubsequences: false) ?? []
    guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else { return }
    method = String(words[0])
    target = String(words[1])
    isLast = words[2] == "HTTP/1.0"
    hasHost = isLast
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      switch line[..<colon].lowercased() {
      case "connection":
        isLast = isLast && value.lowercased() != "keep-alive" || value.lowercased() == "close"
      case "host": hasHost = true
      case "content-length": hasBody = hasBody || value != "0"
      case "transfer-encoding": hasBody = true
      default: break
      }
    }
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
      if let end = endOfHead {
        let text = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(..<end)
        return RequestHead(text.split(whereSeparator: \.isNewline))
      }
      if buffer.count > Self.limit { return RequestHead([]) }
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
