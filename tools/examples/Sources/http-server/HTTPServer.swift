// http-server IFNAME FOLDER [PORT]
//
// An HTTP/1.1 server for the files below FOLDER, in plain async style: a task for each connection, on a stack of its own
// at 10.0.0.2 behind the TAP IFNAME, which it creates in this network namespace. Needs CAP_NET_ADMIN. Port 80, or PORT.
//
//   sudo http-server tap0 /usr/share/doc &
//   curl http://10.0.0.2/

import Foundation
import SwiftStack

@main
struct HTTPServer {
  static func main() async throws {
    let arguments = CommandLine.arguments
    let port = arguments.count > 3 ? UInt16(arguments[3]) : 80
    guard arguments.count >= 3, let port else {
      print("usage: http-server IFNAME FOLDER [PORT]")
      exit(64)
    }
    let folder = URL(fileURLWithPath: arguments[2]).standardizedFileURL.resolvingSymlinksInPath()

    let stack = try Stack(tap: TapParameters(interface: InterfaceName(arguments[1])))
    let server = try stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: port))
    try server.listen()
    FileHandle.standardOutput.write(Data("serving \(folder.path) at http://10.0.0.2:\(port)\n".utf8))

    while true {
      let client = try await server.accept()
      Task {
        // An error is the end of one connection: the peer has gone, or was silent for too long.
        try? await serve(client, from: folder)
        client.close()
      }
    }
  }

  /// Requests of one connection, one after the other, until either side has enough.
  static func serve(_ client: Socket, from folder: URL) async throws {
    client.receiveTimeout = .seconds(30)
    client.sendTimeout = .seconds(30)
    var requests = RequestReader(client)
    while let request = try await requests.next() {
      let response = Response(to: request, from: folder)
      try await client.send(Array(response.head.utf8))
      switch response.body {
      case .text(let text): try await client.send(Array(text.utf8))
      case .file(let file):
        while let piece = try file.read(upToCount: 256 << 10), !piece.isEmpty {
          try await client.send([UInt8](piece))
        }
      case .nothing: break
      }
      if response.isLast { return try await finish(client) }
    }
  }

  /// Reads what the peer still sends, up to a bound: with bytes unread the connection would be reset, and what it was told be
  /// lost (RFC 9112, section 9.6).
  static func finish(_ client: Socket) async throws {
    try client.shutdown(write: true)
    client.receiveTimeout = .seconds(2)
    var left = 64 << 20
    while left > 0 {
      let bytes = try await client.receive(upTo: 65536)
      if bytes.isEmpty { return }
      left -= bytes.count
    }
  }
}
