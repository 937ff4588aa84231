import InetSocket
import NetNamespace
import Wire

/// What `ss -u` tells of a datagram socket.
public struct DatagramInfo: Sendable {
  public var local: SocketAddress
  public var remote: SocketAddress?
  /// Truesize of the packets that wait for the reader, and of those on their way down.
  public var receiveAllocated: Int
  public var writeAllocated: Int
  public var receiveBuffer: Int
  public var sendBuffer: Int
  public var queuedDatagrams: Int
  /// Datagrams thrown away because the receive buffer was full.
  public var dropCount: UInt64
}

extension DatagramTable {
  /// Every socket, for `ss`.
  public var all: [SocketID] {
    (0..<sockets.capacity).filter { sockets.isLive($0) }.map { sockets[$0].id }
  }

  /// What `ss -u` tells of a socket.
  public func info(_ id: SocketID) throws(Errno) -> DatagramInfo {
    let index = try slot(id)
    return DatagramInfo(
      local: sockets[index].core.tuple.local, remote: sockets[index].core.peer,
      receiveAllocated: sockets[index].core.account.receiveAllocated,
      writeAllocated: sockets[index].core.account.writeAllocated,
      receiveBuffer: sockets[index].core.receiveBuffer, sendBuffer: sockets[index].core.sendBuffer,
      queuedDatagrams: sockets[index].receiveQueue.count, dropCount: sockets[index].dropCount)
  }
}
