import Shard
import SkBuff
import Sockets

/// How many connections the services of a shard hold together; more are reset.
final class ServiceConnections {
  /// Enough for everybody, and bounded.
  static let most = 16384
  var count = 0
}

/// A small TCP service: it accepts, and serves each connection when that is ready.
class StreamService: Program {
  private let listener: SocketID
  private let connections: ServiceConnections

  init(on listener: SocketID, _ connections: ServiceConnections) {
    self.listener = listener
    self.connections = connections
  }

  final override func ready(_ socket: SocketID, on shard: inout Shard) {
    if socket == listener { accept(on: &shard) } else { serve(socket, on: &shard) }
  }

  /// A connection may be ready.
  func serve(_ socket: SocketID, on shard: inout Shard) {}

  private func accept(on shard: inout Shard) {
    while let child = try? shard.accept(listener) {
      guard connections.count < ServiceConnections.most else {
        shard.finish(child, reset: true)
        continue
      }
      connections.count += 1
      shard.give(child, to: id)
    }
  }

  /// A connection has ended: its socket closes in order, or with a reset.
  final func end(_ socket: SocketID, reset: Bool = false, on shard: inout Shard) {
    connections.count -= 1
    shard.finish(socket, reset: reset)
  }
}

/// RFC 862.
final class EchoStream: StreamService {
  private static let pieceByteCount = 64 * 1024

  /// What is read is looked at first and taken only as far as it could be sent back: the peer's window is the buffer.
  override func serve(_ socket: SocketID, on shard: inout Shard) {
    var moved = 0
    while moved < Shard.turnByteCount {
      let piece = unsafe shard.scratch.prefix(Self.pieceByteCount)
      do throws(Errno) {
        let count = unsafe try shard.receive(socket, into: piece, flags: [.peek, .dontWait])
        if count == 0 { return end(socket, on: &shard) }
        let sent = unsafe try shard.send(
          socket, from: UnsafeRawBufferPointer(rebasing: piece[..<count]), flags: [.dontWait, .noSignal])
        try shard.discard(socket, count: sent)
        moved += sent
        if sent < count { return }
        // A short read took all there was: another would tell of no more than the end, or an error.
        if count < piece.count,
          shard.readiness(of: socket).isDisjoint(with: [.readable, .error, .hangup])
        {
          return
        }
      } catch {
        if error != .EAGAIN { end(socket, reset: error != .EPIPE, on: &shard) }
        return
      }
    }
    shard.wake(socket)
  }
}

/// RFC 863.
final class DiscardStream: StreamService {
  override func serve(_ socket: SocketID, on shard: inout Shard) {
    do throws(Errno) {
      if try shard.discard(socket, count: Shard.turnByteCount) == 0 { return end(socket, on: &shard) }
      shard.wake(socket)
    } catch {
      if error != .EAGAIN { end(socket, reset: true, on: &shard) }
    }
  }
}

/// RFC 864. Sends until the peer closes; what the peer sends is thrown away.
final class ChargenStream: StreamService {
  override func serve(_ socket: SocketID, on shard: inout Shard) {
    do throws(Errno) {
      while shard.bytesMoved < Shard.turnByteCount {
        if try shard.discard(socket, count: Shard.turnByteCount) == 0 {
          return end(socket, reset: true, on: &shard)
        }
      }
    } catch {
      if error != .EAGAIN { return end(socket, reset: true, on: &shard) }
    }
    // Where in the pattern the next byte comes from.
    var position = Int(shard.note(of: socket))
    var sent = 0
    while sent < Shard.turnByteCount {
      do throws(Errno) {
        let count = try shard.send(
          socket, CharacterGenerator.text(from: position), flags: [.dontWait, .noSignal])
        position = (position + count) % CharacterGenerator.period
        shard.setNote(of: socket, UInt32(position))
        sent += count
      } catch {
        if error != .EAGAIN { end(socket, reset: true, on: &shard) }
        return
      }
    }
    shard.wake(socket)
  }
}

/// RFC 867.
final class DaytimeStream: StreamService {
  override func serve(_ socket: SocketID, on shard: inout Shard) {
    do throws(Errno) {
      let text = DaytimeText(nanosecondsSinceEpoch: shard.timeOfDay).text
      _ = try shard.send(socket, [UInt8](text.utf8)[...], flags: [.dontWait, .noSignal])
      end(socket, on: &shard)
    } catch {
      end(socket, reset: true, on: &shard)
    }
  }
}
