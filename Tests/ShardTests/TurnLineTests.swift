import Testing

@testable import Shard

/// Who stands in line for a turn of a program.
@Suite struct TurnLineTests {
  @Test("T1 sockets of programs have their turns first come, first served, and stand in line once")
  func line() {
    var owners = OwnerTable()
    let program = ProgramID(slot: 0, generation: 1)
    let sockets = (0..<3).map { SocketID(.tcp, index: $0, generation: 1) }
    for socket in sockets { owners.setProgram(socket, program) }
    for index in [0, 1, 0, 2] { owners.enqueue(sockets[index]) }
    var isEmpty = owners.isLineEmpty
    #expect(!isEmpty)
    owners.clear(sockets[1])
    let served = [owners.dequeue()?.socket, owners.dequeue()?.socket, owners.dequeue()?.socket]
    #expect(served == [sockets[0], sockets[2], nil])
    isEmpty = owners.isLineEmpty
    #expect(isEmpty)
    // A socket that took the slot of one that stood in line has to stand in line itself.
    owners.enqueue(sockets[0])
    owners.clear(sockets[0])
    owners.setProgram(SocketID(.tcp, index: 0, generation: 2), program)
    let next = owners.dequeue()
    #expect(next == nil)
  }
}
