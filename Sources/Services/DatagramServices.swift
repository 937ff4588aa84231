import SkBuff
import Sockets

/// The small UDP services: an answer to each datagram.
extension ShardState {
  private static let turnCount = 64
  /// A datagram from a port where such a service answers could start a loop between two of them.
  private static let servicePorts: Set<UInt16> = [0, 7, 9, 13, 17, 19, 37]

  mutating func runDatagramService(_ index: Int) {
    let application = applications[index]
    for _ in 0..<Self.turnCount {
      let buffer = unsafe scratch.prefix(65536)
      do throws(Errno) {
        let datagram = unsafe try receiveFrom(application.socket, into: buffer, flags: .dontWait)
        guard let source = datagram.source, !Self.servicePorts.contains(source.port) else { continue }
        let answer = unsafe makeAnswer(index, buffer, byteCount: datagram.byteCount)
        guard let answer else { continue }
        // A full send buffer loses the answer, as UDP may.
        _ = unsafe try send(
          application.socket, from: UnsafeRawBufferPointer(rebasing: buffer[..<answer]), to: source,
          flags: [.dontWait, .noSignal])
      } catch {
        if error == .EAGAIN { return }
        // A pending error (port unreachable from a client that has gone) has been taken by the call.
      }
    }
    host.net.wake(application.socket)
  }

  /// Bytes of the answer in `buffer`; `nil` for none.
  private mutating func makeAnswer(
    _ index: Int, _ buffer: UnsafeMutableRawBufferPointer, byteCount: Int
  ) -> Int? {
    switch applications[index].kind {
    case .echoDatagram: return byteCount
    case .daytimeDatagram:
      let text = [UInt8](daytime.utf8)
      unsafe buffer.copyBytes(from: text)
      return text.count
    case .chargenDatagram:
      // RFC 864: 0 to 512 characters, the number random.
      let count = Int(host.net.random.next(below: 513))
      unsafe CharacterGenerator.fill(
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), from: applications[index].position)
      applications[index].position =
        (applications[index].position + CharacterGenerator.lineByteCount) % CharacterGenerator.period
      return count
    default: return nil
    }
  }
}
