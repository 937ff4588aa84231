import NetNamespace

extension DatagramTable {
  /// Bytes of the datagram that the next receive takes.
  func receivableByteCount(_ id: SocketID) -> Int {
    guard let index = try? slot(id), let first = sockets[index].receiveQueue.first else { return 0 }
    return sockets[index].receiveQueue.length(at: first)
  }

  /// Bytes that the next receive from the error queue takes.
  func queuedErrorByteCount(_ id: SocketID) -> Int {
    guard let index = try? slot(id) else { return 0 }
    return sockets[index].errorQueue.first?.payload.count ?? 0
  }
}

extension UDPLayer {
  /// Bytes of the datagram that the next receive takes. Linux: `SIOCINQ`.
  public func receivableByteCount(_ id: SocketID) -> Int { table.receivableByteCount(id) }
  /// Bytes that the next receive from the error queue takes.
  public func queuedErrorByteCount(_ id: SocketID) -> Int { table.queuedErrorByteCount(id) }
}

extension PingLayer {
  /// Bytes of the datagram that the next receive takes. Linux: `SIOCINQ`.
  public func receivableByteCount(_ id: SocketID) -> Int { table.receivableByteCount(id) }
  /// Bytes that the next receive from the error queue takes.
  public func queuedErrorByteCount(_ id: SocketID) -> Int { table.queuedErrorByteCount(id) }
}
