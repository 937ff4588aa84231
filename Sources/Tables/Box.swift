/// A value in memory of its own, with one owner: keeps an enum as small as its common cases where a rare one is large.
///
/// Safety: `pointer` is allocated and initialised here, reached only through `self`, and freed with it.
@safe
public struct Box<Value: ~Copyable>: ~Copyable {
  private let pointer: UnsafeMutablePointer<Value>

  public init(_ value: consuming Value) {
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: value)
  }
  deinit {
    unsafe pointer.deinitialize(count: 1)
    unsafe pointer.deallocate()
  }

  public var value: Value {
    _read { yield unsafe pointer.pointee }
    _modify { yield unsafe &pointer.pointee }
  }
}
