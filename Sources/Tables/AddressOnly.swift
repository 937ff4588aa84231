import Synchronization

/// A byte that makes the struct it lies in live at an address.
///
/// Without it the compiler takes a large noncopyable struct for a value, and copies all of it to pass it `borrowing`: a kilobyte and a half
/// for each call that asks a socket or `Net` something. An `Atomic` cannot be passed in registers, so a struct with one is passed by
/// reference. Nothing reads or writes it.
@frozen
public struct AddressOnly: ~Copyable, Sendable {
  @usableFromInline let byte: Atomic<UInt8>
  @inlinable public init() { byte = Atomic(0) }
}
