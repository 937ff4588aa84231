import Foundation

/// What a request gets.
struct Response {
  var head: String
  var body: Body
  /// The connection ends with it.
  var isLast: Bool

  enum Body {
    case text(String)
    case file(FileHandle)
    case nothing
  }

  /// - Parameter byteCount: of the body, also where none is sent (HEAD).
  init(_ status: String, byteCount: Int, type: String, _ body: Body, isLast: Bool, more: String = "") {
    head =
      "HTTP/1.1 \(status)\r\nContent-Length: \(byteCount)\r\nContent-Type: \(type)\r\n\(more)"
      + "Connection: \(isLast ? "close" : "keep-alive")\r\n\r\n"
    self.body = body
    self.isLast = isLast
  }

  /// Says why there is nothing else.
  init(_ status: String, _ sentence: String, isLast: Bool, more: String = "") {
    let text = sentence + "\n"
    self.init(
      status, byteCount: text.utf8.count, type: "text/plain; charset=utf-8", .text(text), isLast: isLast,
      more: more)
  }
}

extension Response {
  /// RFC 9110, sections 9.3.1 and 9.3.2.
  init(to request: RequestHead, from folder: URL) {
    self.init(toGet: request, from: folder)
    if request.method == "HEAD" { body = .nothing }
  }

  private init(toGet request: RequestHead, from folder: URL) {
    guard !request.method.isEmpty, request.hasHost else {
      self.init("400 Bad Request", "This is not an HTTP/1.1 request.", isLast: true)
      return
    }
    // A body, which nobody takes, would be read as the next request.
    let isLast = request.isLast || request.hasBody
    guard request.method == "GET" || request.method == "HEAD" else {
      self.init(
        "405 Method Not Allowed", "\(request.method) is not served: GET and HEAD are.", isLast: isLast,
        more: "Allow: GET, HEAD\r\n")
      return
    }
    if let url = Self.file(of: request.target, in: folder), let file = try? FileHandle(forReadingFrom: url),
      let byteCount = try? file.seekToEnd(), (try? file.seek(toOffset: 0)) != nil
    {
      self.init(
        "200 OK", byteCount: Int(byteCount), type: "application/octet-stream", .file(file), isLast: isLast)
    } else {
      self.init("404 Not Found", "There is no \(request.target) here.", isLast: isLast)
    }
  }

  /// The file that a target names, below the folder; `nil`: none. Neither `..` nor a link leads anywhere else.
  private static func file(of target: String, in folder: URL) -> URL? {
    let path = target.prefix { $0 != "?" && $0 != "#" }
    guard path.hasPrefix("/"), let decoded = String(path).removingPercentEncoding, !decoded.contains("\0")
    else {
      return nil
    }
    let url = folder.appendingPathComponent(decoded.hasSuffix("/") ? decoded + "index.html" : decoded)
      .standardizedFileURL.resolvingSymlinksInPath()
    let isFile = try? url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile
    return isFile == true && url.path.hasPrefix(folder.path + "/") ? url : nil
  }
}
