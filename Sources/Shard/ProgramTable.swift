import Timers

/// The programs of a shard, by slot.
///
/// Safety: a program stays alive while it is in a slot or retired; one that ends during its own turn is retired, and let go
/// of when no program runs.
@safe
package struct ProgramTable: ~Copyable {
  private struct Slot {
    var program: Program?
    var generation: UInt32 = 0
    var timer = TimerSlot()
  }
  private var slots: [Slot] = []
  private var free: [UInt32] = []
  private var retired: [Program] = []
  /// Programs that run.
  var count: Int { slots.count - free.count }

  private func holds(_ id: ProgramID) -> Bool {
    Int(id.slot) < slots.count && slots[Int(id.slot)].generation == id.generation
      && slots[Int(id.slot)].program != nil
  }

  package subscript(id: ProgramID) -> Program? { holds(id) ? slots[Int(id.slot)].program : nil }

  /// The program, without a reference being counted; `nil` when it has ended.
  ///
  /// Safety: to be used before `letGo`.
  @inline(__always) package func reference(_ id: ProgramID) -> Unmanaged<Program>? {
    let slot = Int(id.slot)
    guard slot < slots.count, slots[slot].generation == id.generation else { return nil }
    guard let program = slots[slot].program else { return nil }
    return unsafe .passUnretained(program)
  }

  package mutating func insert(_ program: Program) -> ProgramID {
    let slot: UInt32
    if let last = free.popLast() {
      slot = last
    } else {
      slot = UInt32(slots.count)
      slots.append(Slot())
    }
    slots[Int(slot)].program = program
    slots[Int(slot)].generation &+= 1
    if slots[Int(slot)].generation == 0 { slots[Int(slot)].generation = 1 }
    return ProgramID(slot: slot, generation: slots[Int(slot)].generation)
  }

  package mutating func remove(_ id: ProgramID, timers: inout TimerQueue) {
    guard holds(id), let program = slots[Int(id.slot)].program else { return }
    slots[Int(id.slot)].timer.cancel(in: &timers)
    slots[Int(id.slot)].program = nil
    retired.append(program)
    free.append(id.slot)
  }

  package var hasRetired: Bool { !retired.isEmpty }
  /// Lets go of the programs that have ended.
  package mutating func letGo() { retired.removeAll() }

  package mutating func setTimer(_ id: ProgramID, at deadline: Instant?, in timers: inout TimerQueue) {
    guard holds(id) else { return }
    slots[Int(id.slot)].timer.cancel(in: &timers)
    if let deadline {
      slots[Int(id.slot)].timer.arm(
        TimerKey(kind: .application, id: id.slot, generation: id.generation), at: deadline, in: &timers)
    }
  }

  /// Whose timer has expired; `nil` when it was taken back.
  package mutating func timerExpired(_ key: TimerKey, due: Instant) -> ProgramID? {
    let id = ProgramID(slot: key.id, generation: key.generation)
    return holds(id) && slots[Int(id.slot)].timer.expire(at: due) ? id : nil
  }

  /// All that run.
  package var all: [ProgramID] {
    slots.indices.filter { slots[$0].program != nil }.map {
      ProgramID(slot: UInt32($0), generation: slots[$0].generation)
    }
  }
}
