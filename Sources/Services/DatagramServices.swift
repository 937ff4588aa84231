import Shard
import SkBuff
import Sockets

/// A small UDP service: an answer to each datagram.
class DatagramService: Program {
  private static let turnCount = 64
  /// A datagram from a port where such a service answers could start a loop between two of them.
  private static let servicePorts: Set<UInt16> = [0, 7, 9, 13, 17, 19, 37]

  final override func ready(_ socket: SocketID, on shard: inout Shard) {
    for _ in 0..<Self.turnCount {
      let buffer = unsafe shard.scratch.prefix(65536)
      do throws(Errno) {
        let datagram = unsafe try shard.receiveMessage(socket, into: buffer, flags: .dontWait)
        guard let source = datagram.source, !Self.servicePorts.contains(source.port) else { continue }
        // One datagram to everybody on a link would bring as many answers to whoever is named as its sender.
        guard datagram.control.destination == datagram.control.specificDestination else { continue }
        let answer = unsafe makeAnswer(buffer, byteCount: datagram.byteCount, on: &shard)
        guard let answer else { continue }
        // A full send buffer loses the answer, as UDP may.
        _ = unsafe try shard.send(
          socket, from: UnsafeRawBufferPointer(rebasing: buffer[..<answer]), to: source,
          flags: [.dontWait, .noSignal])
      } catch {
        if error == .EAGAIN { return }
        // A pending error (port unreachable from a client that has gone) has been taken by the call.
      }
    }
    shard.wake(socket)
  }

  /// Bytes of the answer in `buffer`; `nil` for none.
  @unsafe func makeAnswer(
    _ buffer: UnsafeMutableRawBufferPointer, byteCount: Int, on shard: inout Shard
  ) -> Int? { nil }
}

/// RFC 862.
final class EchoDatagram: DatagramService {
  @unsafe override func makeAnswer(
    _ buffer: UnsafeMutableRawBufferPointer, byteCount: Int, on shard: inout Shard
  ) -> Int? { byteCount }
}

/// RFC 863: no answer.
final class DiscardDatagram: DatagramService {}

/// RFC 867.
final class DaytimeDatagram: DatagramService {
  @unsafe override func makeAnswer(
    _ buffer: UnsafeMutableRawBufferPointer, byteCount: Int, on shard: inout Shard
  ) -> Int? {
    let text = [UInt8](DaytimeText(nanosecondsSinceEpoch: shard.timeOfDay).text.utf8)
    unsafe buffer.copyBytes(from: text)
    return text.count
  }
}

/// RFC 864: 0 to 512 characters, the number random.
final class ChargenDatagram: DatagramService {
  private var position = 0

  @unsafe override func makeAnswer(
    _ buffer: UnsafeMutableRawBufferPointer, byteCount: Int, on shard: inout Shard
  ) -> Int? {
    let count = Int(shard.host.net.random.next(below: 513))
    unsafe CharacterGenerator.fill(
      UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), from: position)
    position = (position + CharacterGenerator.lineByteCount) % CharacterGenerator.period
    return count
  }
}
