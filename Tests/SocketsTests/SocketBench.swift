import DeviceTestSupport
import NetTestSupport
import IPv4
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Sockets
import Timers
import Wire

/// Sockets of a host with address 10.0.0.2/24 that talks to itself only: what it sends to itself comes back.
final class SocketBench {
  private let memory = TestMemory()
  var host: Host
  let ethernet: InterfaceIndex
  var sockets: SocketLayer

  init() {
    var net = memory.net(seed: 9)
    let device = TestCard(txRing: 64, rxRing: 64).device(net: &net)
    sockets = SocketLayer(net: net, secret: (1, 2))
    host = Host(net: net)
    ethernet = host.link.devices.add(device)
    guard let prefix = IPv4Prefix("10.0.0.2/24") else { fatalError("a prefix parses") }
    do { try host.addAddress(prefix, on: ethernet) } catch {
      fatalError("an address is added: \(error)")
    }
  }

  deinit {
    for id in sockets.sockets() { sockets.abort(id, host: &host) }
    host.close()
  }

  /// Packets to ourselves go round until none is left.
  func settle() {
    while let skb = host.net.takeBacklog() {
      sockets.receive(host.receive(skb), host: &host)
    }
  }

  func socket(_ type: SocketType) throws -> SocketID {
    try sockets.socket(family: .inet, type: type, net: &host.net)
  }
  func set(_ id: SocketID, _ level: Int32, _ name: Int32, _ bytes: [UInt8]) throws {
    let value = unsafe bytes.span.bytes
    try sockets.setsockopt(id, level: level, name: name, value: value, host: &host)
  }
  func set(_ id: SocketID, _ level: Int32, _ name: Int32, _ value: Int32) throws {
    try set(id, level, name, (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32($0 * 8)) })
  }
  func bytes(_ id: SocketID, _ level: Int32, _ name: Int32, maximum: Int = 1024) throws -> [UInt8] {
    try sockets.getsockopt(id, level: level, name: name, maximum: maximum, host: host)
  }
  /// The value of an `int` option.
  func get(_ id: SocketID, _ level: Int32, _ name: Int32) throws -> Int32 {
    let value = try bytes(id, level, name)
    guard value.count == 4 else { throw Errno.EINVAL }
    return value.reversed().reduce(0) { $0 << 8 | Int32(truncatingIfNeeded: Int($1)) }
  }

  func send(_ id: SocketID, _ bytes: [UInt8], header: MessageHeader = MessageHeader()) throws -> Int {
    try unsafe bytes.withUnsafeBytes { buffer in
      var iter = unsafe IovIter(source: buffer)
      return try sockets.sendmsg(id, header: header, iter: &iter, host: &host)
    }
  }
  func receive(_ id: SocketID, room: Int = 4096) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0xEE, count: room)
    let message = try unsafe buffer.withUnsafeMutableBytes { target in
      var iter = unsafe IovIter(destination: target)
      return try sockets.recvmsg(id, iter: &iter, host: &host)
    }
    return Array(buffer[..<message.byteCount])
  }
}
