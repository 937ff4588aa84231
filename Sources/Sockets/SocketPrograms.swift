import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import UDP
import Wire

/// A message before its protocol has it. Linux: what `security_socket_sendmsg()` is given.
public struct OutgoingMessage: Sendable {
  public let socket: SocketID
  /// The message's destination, or the connected peer; `nil`: there is neither.
  public let destination: SocketAddress?
  public let flags: MessageFlags
  public let control: SendControl
  /// Of the whole message.
  public let byteCount: Int
  /// Its first bytes, as many as were asked for. Its owner may change them between this look and the send.
  public let bytes: [UInt8]
  /// What a program has labelled the flow of the socket with; 0: nothing.
  public let flowLabel: UInt32
}

/// Somebody who looks at messages before they are sent.
public struct MessageInspector: Sendable {
  public var handle: UInt32
  /// How many bytes of a message it wants to see.
  public var byteCount: Int
  /// The errno that the send is refused with; `nil`: allowed.
  public var verdict: @Sendable (OutgoingMessage) -> Errno?

  public init(
    handle: UInt32, byteCount: Int, _ verdict: @escaping @Sendable (OutgoingMessage) -> Errno?
  ) {
    self.handle = handle
    self.byteCount = byteCount
    self.verdict = verdict
  }
}

// Programs of sockets, and who looks at messages.
extension SocketLayer {
  /// Asks the rules, and then those who look at messages. Linux: `security_socket_sendmsg()`.
  ///
  /// - Throws: the first veto; EBADF.
  mutating func checkPolicy(
    _ id: SocketID, _ header: MessageHeader, _ flags: MessageFlags, _ iter: inout IovIter
  ) throws(Errno) {
    let (peer, label) = try withCore(id) { (core) throws(Errno) in (core.peer, core.flowLabel) }
    let destination = header.address ?? peer
    if let veto = policy.veto(id, destination: destination, byteCount: iter.count) { throw veto }
    guard let most = policy.inspectors.map(\.byteCount).max() else { return }
    let bytes = iter.isUnreadable ? [] : iter.firstBytes(max(0, most))
    for inspector in policy.inspectors {
      let message = OutgoingMessage(
        socket: id, destination: destination, flags: flags, control: header.control, byteCount: iter.count,
        bytes: Array(bytes.prefix(max(0, inspector.byteCount))), flowLabel: label)
      if let veto = inspector.verdict(message) { throw veto }
    }
  }

  /// Attaches a program to every socket that there is and will be.
  public mutating func attach(_ program: SocketProgram, handle: UInt32) {
    programs = SocketPrograms.adding(program, handle: handle, to: programs)
    for id in sockets() { try? attach(program, handle: handle, to: id) }
  }

  /// Attaches a program to one socket, whose connections it will be too if it listens.
  ///
  /// - Throws: EBADF.
  public mutating func attach(_ program: SocketProgram, handle: UInt32, to id: SocketID) throws(Errno) {
    try withCore(id) { (core) throws(Errno) in
      core.programs = SocketPrograms.adding(program, handle: handle, to: core.programs)
    }
  }

  /// Takes a program away from all sockets.
  public mutating func detach(handle: UInt32) {
    programs = programs?.removing(handle: handle)
    for id in sockets() {
      try? withCore(id) { (core) throws(Errno) in core.programs = core.programs?.removing(handle: handle) }
    }
  }

  /// What a program has labelled a socket's flow with; 0: nothing.
  ///
  /// - Throws: EBADF.
  public mutating func flowLabel(_ id: SocketID) throws(Errno) -> UInt32 {
    try withCore(id) { (core) throws(Errno) in core.flowLabel }
  }
}
