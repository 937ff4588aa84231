/// An `Int` that a connection keeps in fewer bytes: there are many connections.
///
/// For what is far from the end of `Stored` whatever a peer or a caller does: counts of segments, sizes of segments,
/// windows as the header carries them. Traps otherwise, as every overflow does.
@propertyWrapper
@frozen
public struct Narrow<Stored: FixedWidthInteger & Sendable>: Sendable {
  @usableFromInline var stored: Stored

  @inlinable public init(wrappedValue: Int) { stored = Stored(wrappedValue) }
  @inlinable public var wrappedValue: Int {
    get { Int(stored) }
    set { stored = Stored(newValue) }
  }
}

/// An optional count or slot, 0 or more, in four bytes.
@propertyWrapper
@frozen
public struct NarrowOptional: Sendable {
  /// Below zero: `nil`.
  @usableFromInline var stored: Int32

  @inlinable public init(wrappedValue: Int?) { stored = wrappedValue.map { Int32($0) } ?? -1 }
  @inlinable public var wrappedValue: Int? {
    get { stored < 0 ? nil : Int(stored) }
    set { stored = newValue.map { Int32($0) } ?? -1 }
  }
}
