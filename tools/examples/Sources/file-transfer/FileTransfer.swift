// file-transfer IFNAME send copy|zerocopy|sendfile|splice|fastopen HOST PORT FILE [offload=off] [loss=P%]
// file-transfer IFNAME receive PORT FILE [offload=off] [loss=P%]
//
// Sends a file to a peer that reads, or takes a connection and writes what comes into a file, on a stack of its own at
// 10.0.0.2 behind the TAP IFNAME, which it creates in this network namespace. Needs CAP_NET_ADMIN. The ways to send:
//
//   copy      send(2) as everybody knows it
//   zerocopy  MSG_ZEROCOPY: packets carry the program's memory, completions say when it is free again
//   sendfile  packets carry the file's pages
//   splice    out of a pipe, which a thread fills from the file
//   fastopen  the first bytes go with the SYN: a first connection that sends one byte fetches the cookie for it
//
// loss=P% loses frames at random on their way out and on their way in.

import Foundation
import SwiftStack

@main
struct FileTransfer {
  static func main() throws {
    var arguments = Array(CommandLine.arguments.dropFirst())
    var tap = try TapParameters(interface: InterfaceName("tap0"))
    var loss: String?
    while let last = arguments.last, last.contains("=") {
      switch last.prefix(while: { $0 != "=" }) {
      case "offload": tap.offload = last != "offload=off"
      case "loss": loss = String(last.dropFirst("loss=".count))
      default: usage()
      }
      arguments.removeLast()
    }
    guard arguments.count > 3 else { usage() }
    tap.interface = try InterfaceName(arguments[0])
    let stack = try Stack(tap: tap)
    if let loss {
      for place in [QdiscPlace.root, .ingress] {
        try stack.setQdisc(QdiscConfiguration(parsing: ["netem", "loss", loss]), at: place)
      }
    }
    switch arguments[1] {
    case "send":
      guard arguments.count == 6, let host = IPv4Address(arguments[3]), let port = UInt16(arguments[4]),
        let way = ways[arguments[2]]
      else { usage() }
      let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: arguments[5]))
      let socket = try stack.socket(.tcp)
      try way(file, stack, socket, SocketAddress(host, port: port))
      // The peer has everything once it has closed, too.
      try socket.shutdown(write: true)
      while try !socket.receive(upTo: 65536).isEmpty {}
      socket.close()
    case "receive":
      guard arguments.count == 4, let port = UInt16(arguments[2]) else { usage() }
      try receive(stack, port, into: arguments[3])
    default: usage()
    }
  }

  static func usage() -> Never {
    let ways = "copy|zerocopy|sendfile|splice|fastopen"
    print("usage: file-transfer IFNAME send \(ways) HOST PORT FILE [offload=off] [loss=P%]")
    print("       file-transfer IFNAME receive PORT FILE [offload=off] [loss=P%]")
    exit(64)
  }

  static let chunk = 256 << 10
  static let ways: [String: @Sendable (FileHandle, Stack, Socket, SocketAddress) throws -> Void] = [
    "copy": copy, "zerocopy": zeroCopy, "sendfile": sendFile, "splice": splice, "fastopen": fastOpen,
  ]

  static func copy(_ file: FileHandle, _ stack: Stack, _ socket: Socket, _ peer: SocketAddress) throws {
    try socket.connect(to: peer)
    try copyRest(of: file, socket)
  }

  static func copyRest(of file: FileHandle, _ socket: Socket) throws {
    while let piece = try file.read(upToCount: chunk), !piece.isEmpty { try socket.send([UInt8](piece)) }
  }

  /// A piece is under way until its completion says that nobody reads it any more; a few of them at a time.
  static func zeroCopy(_ file: FileHandle, _ stack: Stack, _ socket: Socket, _ peer: SocketAddress) throws {
    try socket.connect(to: peer)
    try socket.setZeroCopy(true)
    var sent: UInt32 = 0
    var done: UInt32 = 0
    while let piece = try file.read(upToCount: chunk), !piece.isEmpty {
      try socket.send(ExternalMemory(copying: [UInt8](piece)))
      sent += 1
      while sent - done > 16 { done = try socket.completion().last + 1 }
    }
    while done < sent { done = try socket.completion().last + 1 }
  }

  static func sendFile(_ file: FileHandle, _ stack: Stack, _ socket: Socket, _ peer: SocketAddress) throws {
    try socket.connect(to: peer)
    let byteCount = Int(try file.seekToEnd())
    var offset = 0
    while offset < byteCount {
      offset += try socket.sendFile(
        file.fileDescriptor, from: offset, count: min(byteCount - offset, 64 << 20))
    }
  }

  static func splice(_ file: FileHandle, _ stack: Stack, _ socket: Socket, _ peer: SocketAddress) throws {
    try socket.connect(to: peer)
    let pipe = Pipe()
    Thread.detachNewThread {
      while let piece = try? file.read(upToCount: chunk), !piece.isEmpty {
        pipe.fileHandleForWriting.write(piece)
      }
      try? pipe.fileHandleForWriting.close()
    }
    while try socket.splice(from: pipe.fileHandleForReading.fileDescriptor, count: chunk) > 0 {}
  }

  static func fastOpen(_ file: FileHandle, _ stack: Stack, _ socket: Socket, _ peer: SocketAddress) throws {
    let first = try stack.socket(.tcp)
    try first.sendmsg(MessageHeader(address: peer, flags: .fastOpen), [0])
    first.close()
    guard let piece = try file.read(upToCount: chunk), !piece.isEmpty else { return }
    let bytes = [UInt8](piece)
    let count = try socket.sendmsg(MessageHeader(address: peer, flags: .fastOpen), bytes)
    if count < bytes.count { try socket.send(Array(bytes[count...])) }
    try copyRest(of: file, socket)
  }

  /// With Fast Open for those who have a cookie.
  static func receive(_ stack: Stack, _ port: UInt16, into path: String) throws {
    try Data().write(to: URL(fileURLWithPath: path))
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    let listener = try stack.socket(.tcp)
    try stack.apply(.setting(name: "net.ipv4.tcp_fastopen", value: "3"))
    try listener.setsockopt(level: SocketOptionLevel.tcp, name: TCPOptionName.fastOpen, 16)
    try listener.bind(to: SocketAddress(.any, port: port))
    try listener.listen()
    say("waiting on port \(port)")
    var isEmpty = true
    // A connection without bytes fetched a cookie.
    while isEmpty {
      let client = try listener.accept()
      while true {
        let bytes = try client.receive(upTo: chunk)
        if bytes.isEmpty { break }
        isEmpty = false
        try file.write(contentsOf: bytes)
      }
      client.close()
    }
    try file.close()
    // Closing is a matter of the peer's last ACK; the stack answers until then.
    Thread.sleep(forTimeInterval: 0.3)
  }

  /// For whoever waits for the line.
  static func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}
