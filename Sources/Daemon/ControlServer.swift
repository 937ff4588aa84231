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
  private let callers: ControlCallers
  private let timing: ControlConversation.Timing
  private let logger = Logger(label: "swiftstack")
  /// Clients have been turned away, or had to wait, and that was said: once a minute, not for each.
  private let complaints = Guarded<[Complaint: Instant]>([:])

  private enum Complaint { case full, short, stranger }

  /// As many are taken before signals and others have their turn.
  private static let mostAtOnce = 64

  /// What became of those who waited.
  enum Outcome: Equatable {
    case allTaken
    /// There is no descriptor or memory for another; they wait.
    case noRoom
  }

  init(
    stack: Stack, daemon: any ControlDaemon, limits: ControlAdmission.Limits = .init(),
    timing: ControlConversation.Timing = .init(), callers: ControlCallers = .init(users: [geteuid()])
  ) {
    self.callers = callers
    self.stack = stack
    self.daemon = daemon
    self.timing = timing
    admission = Guarded(ControlAdmission(limits))
  }

  /// Conversations that go on.
  var conversationCount: Int { admission.withLock { $0.count } }

  /// Takes the clients that wait, non-blocking; of very many the first, and the next time others.
  func acceptClients(_ listener: borrowing UnixListener) -> Outcome {
    for _ in 0..<Self.mostAtOnce {
      do {
        guard let stream = try listener.accept() else { break }
        converse(stream)
      } catch {
        complain(.short, "control clients wait: \(error)")
        return .noRoom
      }
    }
    return .allTaken
  }

  private func complain(_ complaint: Complaint, _ text: @autoclosure () -> String) {
    let now = MonotonicClock.now()
    let isNew = complaints.withLock { said in
      if let last = said[complaint], now - last < .seconds(60) { return false }
      said[complaint] = now
      return true
    }
    if isNew { logger.warning("\(text())") }
  }

  private func converse(_ stream: consuming UnixStream) {
    let user = try? stream.peerCredentials().userID
    guard let user, callers.users.contains(user) else {
      let refusal = callers.refusal(of: user)
      complain(.stranger, "a control client is refused: \(refusal)")
      return turnAway(stream, refusal)
    }
    guard let place = admission.withLock({ $0.admit(user: user) }) else {
      complain(.full, "control clients are turned away: \(conversationCount) are there already")
      return turnAway(stream, "too many control clients are there already; try again later")
    }
    let number = stream.takeDescriptor().release()
    do {
      try StackThread.start { [self] in
        // The number was released above, for this thread.
        let stream = UnixStream(OwnedDescriptor(owning: number))
        let client = ControlConversation(stream, place: place, timing: timing)
        StackConversation(client, stack: stack, daemon: daemon, user: user).run()
        admission.withLock { $0.leave(place, user: user) }
      }
    } catch {
      admission.withLock { $0.leave(place, user: user) }
      _ = OwnedDescriptor(owning: number)
      logger.warning("\(error)")
    }
  }

  /// One line says why; a client that does not take it at once does without.
  private func turnAway(_ stream: consuming UnixStream, _ reason: String) {
    var channel = MessageChannel(stream)
    let answer = ControlAnswer(.error(reason))
    if channel.enqueue(ControlCodec.encode(answer)) { _ = channel.flush() }
  }
}

/// What conversations need of the daemon around them.
protocol ControlDaemon: Sendable {
  var report: StackReport { get }
  func requestStop()
}
