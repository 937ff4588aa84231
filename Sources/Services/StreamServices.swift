import SkBuff
import Sockets

/// The small TCP services: echo (RFC 862), discard (RFC 863), daytime (RFC 867), character generator (RFC 864).
extension ShardState {
  private static let pieceByteCount = 64 * 1024

  /// What is read is looked at first and taken only as far as it could be sent back: the peer's window is the buffer.
  mutating func runEchoStream(_ index: Int) {
    let socket = applications[index].socket
    var moved = 0
    while moved < Self.turnByteCount {
      let piece = unsafe scratch.prefix(Self.pieceByteCount)
      do throws(Errno) {
        let count = unsafe try receive(socket, into: piece, flags: [.peek, .dontWait])
        if count == 0 { return end(index) }
        let sent = unsafe try send(
          socket, from: UnsafeRawBufferPointer(rebasing: piece[..<count]), flags: [.dontWait, .noSignal])
        try discard(socket, count: sent)
        moved += sent
        if sent < count { return }
      } catch {
        if error != .EAGAIN { end(index, reset: error != .EPIPE) }
        return
      }
    }
    host.net.wake(socket)
  }

  mutating func runDiscardStream(_ index: Int) {
    let socket = applications[index].socket
    do throws(Errno) {
      if try discard(socket, count: Self.turnByteCount) == 0 { return end(index) }
      host.net.wake(socket)
    } catch {
      if error != .EAGAIN { end(index, reset: true) }
    }
  }

  /// Sends until the peer closes; what the peer sends is thrown away.
  mutating func runChargenStream(_ index: Int) {
    let socket = applications[index].socket
    do throws(Errno) {
      while bytesMoved < Self.turnByteCount {
        if try discard(socket, count: Self.turnByteCount) == 0 { return end(index, reset: true) }
      }
    } catch {
      if error != .EAGAIN { return end(index, reset: true) }
    }
    var sent = 0
    while sent < Self.turnByteCount {
      do throws(Errno) {
        let count = try send(
          socket, CharacterGenerator.text(from: applications[index].position), flags: [.dontWait, .noSignal])
        applications[index].position = (applications[index].position + count) % CharacterGenerator.period
        sent += count
      } catch {
        if error != .EAGAIN { end(index, reset: true) }
        return
      }
    }
    host.net.wake(socket)
  }

  mutating func runDaytimeStream(_ index: Int) {
    let socket = applications[index].socket
    do throws(Errno) {
      _ = try send(socket, [UInt8](daytime.utf8)[...], flags: [.dontWait, .noSignal])
      end(index)
    } catch {
      end(index, reset: true)
    }
  }

  var daytime: String { DaytimeText(nanosecondsSinceEpoch: clock.timeOfDay).text }
}
