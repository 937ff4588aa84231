/// An optional span of time in eight bytes.
@propertyWrapper
@frozen
public struct TimeLimit: Sendable {
  @usableFromInline var stored: Int64

  @inlinable public init(wrappedValue: Nanoseconds?) { stored = wrappedValue?.rawValue ?? .max }
  @inlinable public var wrappedValue: Nanoseconds? {
    get { stored == .max ? nil : Nanoseconds(stored) }
    set { stored = newValue?.rawValue ?? .max }
  }
}
