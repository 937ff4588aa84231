import Shard
import ShardTestSupport
import Testing

/// Programs that a shard runs itself, through what everybody may call.
@Suite struct ProgramTests {
  /// Writes down what happens to it.
  final class Recorder: Program {
    var turns: [SocketID] = []
    var times: [Instant] = []
    var nudges = 0
    var ends = 0
    /// What to do in each turn.
    var act: (Recorder, SocketID, inout Shard) -> Void = { _, _, _ in }

    override func ready(_ socket: SocketID, on shard: inout Shard) {
      turns.append(socket)
      act(self, socket, &shard)
    }
    override func timeIsUp(on shard: inout Shard) { times.append(shard.now) }
    override func nudged(on shard: inout Shard) { nudges += 1 }
    override func stackEnds(on shard: inout Shard) { ends += 1 }
  }

  private func host() throws -> SimulatedShard {
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    return try SimulatedShard(configuration)
  }

  private static let port = SocketAddress(IPv4Address(10, 0, 0, 2), port: 4000)

  @Test("a socket has a turn when it is given away, and one for what comes; it gets in line again by itself")
  func turns() throws {
    let host = try host()
    let program = Recorder()
    let socket = try host.run { (shard) throws(Errno) in
      let socket = try shard.socket(.udp)
      try shard.bind(socket, to: Self.port)
      shard.give(socket, to: shard.start(program))
      return socket
    }
    #expect(program.turns == [socket])
    try host.run { (shard) throws(Errno) in
      let sender = try shard.socket(.udp)
      try shard.send(sender, [1, 2, 3], to: Self.port)
    }
    #expect(program.turns == [socket, socket])
    program.act = { program, socket, shard in if program.turns.count < 6 { shard.wake(socket) } }
    host.run { $0.wake(socket) }
    #expect(program.turns.count == 6)
  }

  @Test("a program's word about a socket is the socket's: a later one in the same place has its own")
  func note() throws {
    let host = try host()
    try host.run { (shard) throws(Errno) in
      let program = shard.start(Recorder())
      let first = try shard.socket(.udp)
      shard.give(first, to: program, note: 7)
      #expect(shard.note(of: first) == 7)
      shard.setNote(of: first, 9)
      #expect(shard.note(of: first) == 9)
      shard.finish(first)
      let second = try shard.socket(.udp)
      shard.give(second, to: program)
      #expect(shard.note(of: second) == 0)
    }
  }

  @Test("a program has one timer: the last time asked for, or none")
  func timer() throws {
    let host = try host()
    let program = Recorder()
    let id = host.run { $0.start(program) }
    host.run { $0.setTimer(of: id, at: .origin + .seconds(2)) }
    host.run { $0.setTimer(of: id, at: .origin + .seconds(3)) }
    #expect(host.nextDeadline == .origin + .seconds(3))
    host.advance(to: .origin + .seconds(5))
    #expect(program.times == [.origin + .seconds(3)])
    host.run { $0.setTimer(of: id, at: .origin + .seconds(6)) }
    host.run { $0.setTimer(of: id, at: nil) }
    host.advance(to: .origin + .seconds(8))
    #expect(program.times.count == 1)
    host.run { $0.setTimer(of: id, at: .origin + .seconds(9)) }
    host.run { $0.end(id) }
    host.advance(to: .origin + .seconds(10))
    #expect(program.times.count == 1 && host.nextDeadline == nil)
  }

  @Test("a program that ends in its own turn lives until the turn is over, and is let go of then")
  func endsItself() throws {
    let host = try host()
    weak var left: Recorder?
    try host.run { (shard) throws(Errno) in
      let program = Recorder()
      left = program
      program.act = { program, socket, shard in
        shard.finish(socket)
        shard.end(program.id)
        program.nudges = 1
      }
      let socket = try shard.socket(.udp)
      shard.give(socket, to: shard.start(program))
    }
    #expect(left == nil)
  }

  @Test("a name is one program's: a later one in its place is not meant")
  func names() throws {
    let host = try host()
    let (first, second) = (Recorder(), Recorder())
    let old = host.run { $0.start(first) }
    host.run { $0.end(old) }
    let new = host.run { $0.start(second) }
    #expect(old != new && old.slot == new.slot)
    host.run { $0.nudge(old) }
    #expect(first.nudges == 0 && second.nudges == 0)
    host.run { $0.nudge(new) }
    #expect(second.nudges == 1)
    let isGone = host.run { $0.program(old) == nil && $0.program(new) === second }
    #expect(isGone)
  }

  @Test("a socket whose program has ended is reset at its next turn")
  func orphan() throws {
    let cable = try Cable()
    let program = Recorder()
    var accepted: SocketID?
    program.act = { program, socket, shard in
      if let child = try? shard.accept(socket) {
        accepted = child
        shard.give(child, to: program.id)
      }
    }
    try cable.right.run { (shard) throws(Errno) in
      let listener = try shard.socket(.tcp)
      try shard.bind(listener, to: SocketAddress(.any, port: 4000))
      try shard.listen(listener)
      shard.give(listener, to: shard.start(program))
    }
    let client = try cable.left.run { (shard) throws(Errno) in
      let client = try shard.socket(.tcp)
      do throws(Errno) { try shard.connect(client, to: Self.port) } catch {
        guard error == .EINPROGRESS else { throw error }
      }
      return client
    }
    #expect(cable.run(for: .seconds(1)) { accepted != nil })
    cable.right.run { $0.end(program.id) }
    _ = try cable.left.run { (shard) throws(Errno) in try shard.send(client, [1]) }
    #expect(cable.run(for: .seconds(1)) { cable.left.run { $0.readiness(of: client).contains(.error) } })
  }

  @Test("the stack's end is told to every program, once, and nobody runs after it")
  func end() throws {
    let host = try host()
    let programs = [Recorder(), Recorder()]
    for program in programs { host.run { _ = $0.start(program) } }
    host.run { $0.closeAll() }
    host.run { $0.closeAll() }
    #expect(programs.map(\.ends) == [1, 1])
  }
}
