import SwiftStack

/// Moves a pattern through a pair of non-blocking sockets, whatever each takes at a time.
public final class StreamPump {
  public let sender: Socket
  public let receiver: Socket
  private let total: Int
  private var waiting: ArraySlice<UInt8> = []
  public private(set) var sent = 0
  public private(set) var received = 0
  public private(set) var isIntact = true
  public private(set) var isAtEnd = false

  public init(from sender: Socket, to receiver: Socket, byteCount: Int) {
    self.sender = sender
    self.receiver = receiver
    total = byteCount
    sender.isNonBlocking = true
    receiver.isNonBlocking = true
  }

  public static func pattern(_ position: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: position &* 31 &+ position >> 8)
  }

  /// Does what can be done now. Returns whether everything has arrived and the end was seen.
  public func step() throws -> Bool {
    while sent < total {
      // Made once, however often it is refused.
      if waiting.isEmpty { waiting = (sent..<min(sent + 32768, total)).map(Self.pattern)[...] }
      do {
        let taken = try sender.send(Array(waiting))
        sent += taken
        waiting.removeFirst(taken)
      } catch {
        guard error.errno == .EAGAIN else { throw error }
        break
      }
      if sent == total { try sender.shutdown(write: true) }
    }
    while !isAtEnd {
      do {
        let bytes = try receiver.receive(upTo: 65536)
        if bytes.isEmpty { isAtEnd = true }
        for byte in bytes {
          if byte != Self.pattern(received) { isIntact = false }
          received += 1
        }
      } catch {
        guard error.errno == .EAGAIN else { throw error }
        break
      }
    }
    return isAtEnd
  }
}
