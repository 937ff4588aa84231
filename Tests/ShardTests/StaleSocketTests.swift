import Shard
import Testing

/// Programs that name sockets that are gone, or never were.
@Suite struct StaleSocketTests {
  private final class Recorder: Program {
    var turns: [SocketID] = []
    override func ready(_ socket: SocketID, on shard: inout Shard) { turns.append(socket) }
  }
  private let host: SimulatedShard
  private let program = Recorder()

  init() throws {
    host = try SimulatedShard()
    host.run { [program] in _ = $0.start(program) }
  }

  @Test(
    "a closed socket's name says and changes nothing of a later one in its place",
    arguments: [SocketKind.udp, .tcp, .ping])
  func stale(_ kind: SocketKind) throws {
    let (old, new) = try host.run { (shard) throws(Errno) in
      let old = try shard.socket(kind)
      shard.give(old, to: program.id, note: 1)
      shard.finish(old)
      let new = try shard.socket(kind)
      shard.give(new, to: program.id, note: 2)
      return (old, new)
    }
    #expect(old != new && old.rawValue == new.rawValue)
    program.turns = []
    host.run { shard in
      #expect(shard.note(of: old) == 0)
      shard.setNote(of: old, 9)
      shard.finish(old, reset: true)
      shard.give(old, to: program.id, note: 8)
      shard.wake(old)
      #expect(shard.note(of: new) == 2)
      #expect(shard.readiness(of: old) == [.error, .hangup])
      #expect(throws: Errno.EBADF) { () throws(Errno) in try shard.send(old, [1]) }
      #expect(throws: Errno.EBADF) { () throws(Errno) in try shard.discard(old, count: 1) }
    }
    #expect(program.turns == [])
    host.run { $0.wake(new) }
    #expect(program.turns == [new])
  }

  @Test("a socket that never was cannot be given away")
  func invented() {
    host.run { shard in
      for id in [
        SocketID.none, SocketID(rawValue: 5, generation: 7), SocketID(rawValue: 0x3FFF_FFF0, generation: 1),
      ] {
        shard.give(id, to: program.id, note: 3)
        #expect(shard.note(of: id) == 0)
      }
    }
    #expect(program.turns == [])
  }
}
