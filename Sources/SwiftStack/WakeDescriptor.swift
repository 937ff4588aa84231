import LinuxHost

/// An event descriptor that many threads signal and one ends: closed is closed, whoever still holds the object.
package final class WakeDescriptor: Sendable {
  private let event: Guarded<EventFD?>
  /// For the thread that waits on it; valid until `close`.
  package let rawDescriptor: Int32

  init() throws(LinuxError) {
    let event = try EventFD()
    rawDescriptor = event.descriptor.rawValue
    self.event = Guarded(consume event)
  }

  func signal() {
    event.withLock { event in
      switch event {
      case .some(let event): event.signal()
      case .none: break
      }
    }
  }

  func drain() {
    event.withLock { event in
      switch event {
      case .some(let event): event.drain()
      case .none: break
      }
    }
  }

  func close() { event.withLock { $0 = nil } }
}
