import Control
import Glibc
import LinuxHost
import Logging
import SwiftStack

/// Takes clients from the control socket and serves each on a thread of its own.
final class ControlServer: Sendable {
  private let stack: Stack
  private let daemon: any ControlDaemon
  private let admission: Guarded<ControlAdmission>
  private let timing: ControlConversation.Timing
  private let logger = Logger(label: "swiftstack")
  /// Clients have been turned away, or had to wait, and that was said: once, not for each.
  private let complaints = Guarded(Complaints())

  private struct Complaints {
    var isFull = false
    var isShort = false
  }

  /// What became of those who waited.
  enum Outcome: Equatable {
    case allTaken
    /// There is no descriptor or memory for another; they wait.
    case noRoom
  }

  init(
    stack: Stack, daemon: any ControlDaemon, limits: ControlAdmission.Limits = .init(),
    timing: ControlConversation.Timing = .init()
  ) {
    self.stack = stack
    self.daemon = daemon
    self.timing = timing
    admission = Guarded(ControlAdmission(limits))
  }

  /// Conversations that go on.
  var conversationCount: Int { admission.withLock { $0.count } }

  /// Takes every client that waits, non-blocking.
  func acceptClients(_ listener: borrowing UnixListener) -> Outcome {
    while true {
      do {
        guard let stream = try listener.accept() else { break }
        converse(stream)
      } catch {
        let isNew = complaints.withLock { complaints in
          defer { complaints.isShort = true }
          return !complaints.isShort
        }
        if isNew { logger.warning("control clients wait: \(error)") }
        return .noRoom
      }
    }
    complaints.withLock { $0.isShort = false }
    return .allTaken
  }

  private func converse(_ stream: consuming UnixStream) {
    let user = (try? stream.peerCredentials().userID) ?? .max
    guard let place = admission.withLock({ $0.admit(user: user) }) else { return turnAway(stream) }
    let number = stream.takeDescriptor().release()
    do {
      try StackThread.start { [self] in
        // The number was released above, for this thread.
        let stream = UnixStream(OwnedDescriptor(owning: number))
        let client = ControlConversation(stream, place: place, timing: timing)
        StackConversation(client, stack: stack, daemon: daemon, user: user).run()
        admission.withLock { $0.leave(place, user: user) }
        complaints.withLock { $0.isFull = false }
      }
    } catch {
      admission.withLock { $0.leave(place, user: user) }
      _ = OwnedDescriptor(owning: number)
      logger.warning("\(error)")
    }
  }

  /// One line says why; a client that does not take it at once does without.
  private func turnAway(_ stream: consuming UnixStream) {
    let isNew = complaints.withLock { complaints in
      defer { complaints.isFull = true }
      return !complaints.isFull
    }
    if isNew { logger.warning("control clients are turned away: \(conversationCount) are there already") }
    var channel = MessageChannel(stream)
    let answer = ControlAnswer(.error("too many control clients are there already; try again later"))
    if channel.enqueue(ControlCodec.encode(answer)) { _ = channel.flush() }
  }
}

/// What conversations need of the daemon around them.
protocol ControlDaemon: Sendable {
  var report: StackReport { get }
  func requestStop()
}
