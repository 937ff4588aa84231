import Netfilter
import SkBuff
import Timers
import Wire

/// One neighbour. Linux: `struct neighbour`.
struct NeighbourEntry: ~Copyable {
  var address: IPAddress
  /// The device at whose link it is.
  var interface: InterfaceIndex
  var generation: UInt32
  var state = NeighbourState.none
  /// How many solicitations went out in this round.
  var probes: UInt8 = 0
  /// A packet was sent to it since the entry was made.
  var wasUsed = false
  var isInUse = true
  /// Next entry of the hash chain, or of the free list; -1 ends it.
  var next: Int32 = -1
  var hardwareAddress = MACAddress.zero
  /// Two bytes of padding and the 14 of the Ethernet header, as they lie in memory. Linux: `struct hh_cache`.
  var hardwareHeader = SIMD2<UInt64>(0, 0)
  /// Last proof of reachability, last change, last use.
  var confirmed: Instant
  var updated: Instant
  var used: Instant
  /// When the state's timer is due; `.distantFuture` when none runs.
  var deadline = Instant.distantFuture
  var timer = TimerSlot()
  /// Linux: `arp_queue`, `arp_queue_len_bytes`.
  var waiting = PassedQueue()
  var waitingTruesize = 0

  init(address: IPAddress, interface: InterfaceIndex, generation: UInt32, now: Instant) {
    self.address = address
    self.interface = interface
    self.generation = generation
    confirmed = now
    updated = now
    used = now
  }
}

/// A question that the table asks the address's family to send. Linux: `arp_solicit()`'s arguments.
public struct NeighbourSolicitation: Sendable {
  public var address: IPAddress
  /// The device to send it by.
  public var interface: InterfaceIndex
  /// Where to send it; `nil`: broadcast.
  public var hardwareAddress: MACAddress?
  /// Source of the packet that waits, which is the preferred sender address.
  public var source: IPAddress?
}

/// A neighbour that a program is asked for (`app_solicit`).
public struct NeighbourQuery: Hashable, Sendable {
  public var address: IPAddress
  /// The device at whose link it is.
  public var interface: InterfaceIndex
}

/// What `ip neigh` shows of one neighbour.
public struct NeighbourSnapshot: Sendable {
  public var address: IPAddress
  /// The device at whose link it is.
  public var interface: InterfaceIndex
  /// `nil` while it is not known.
  public var hardwareAddress: MACAddress?
  public var state: NeighbourState
  public var probes: Int
  /// Packets and truesize that wait for the answer.
  public var waitingCount: Int
  public var waitingTruesize: Int
  /// Time since the last use, proof of reachability and change.
  public var used: Nanoseconds
  public var confirmed: Nanoseconds
  public var updated: Nanoseconds
}
