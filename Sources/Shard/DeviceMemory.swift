import IceHardware
import NetNamespace
import SkBuff

/// Memory that a shard's NIC reads and nobody else, from its binding on until no packet carries it any more: so long its
/// addresses are nothing else's.
package final class BoundMemory {
  private var held: ExternalMemory?
  private weak var carried: ExternalMemory?
  let number: UInt32
  let start: UInt
  let device: UInt
  let byteCount: Int
  private let end: @Sendable () -> Void

  init(
    _ memory: ExternalMemory, _ number: UInt32, at start: UInt, to device: UInt,
    end: @escaping @Sendable () -> Void
  ) {
    held = memory
    carried = memory
    self.number = number
    self.start = start
    self.device = device
    byteCount = memory.byteCount
    self.end = end
  }
  deinit { end() }

  var isBound: Bool { held != nil }
  var isGone: Bool { carried == nil }
  func close() { held = nil }
}

extension Shard {
  /// Lets the NIC read memory that no processor reads. Linux: `net_devmem_bind_dmabuf()`.
  ///
  /// Safety: `device` is where the NIC finds it, readable until `memory` is released.
  ///
  /// - Parameters:
  ///   - start: where packets say that it lies.
  ///   - end: gives `start` back.
  /// - Throws: ENOSPC: there are too many.
  @unsafe package mutating func bind(
    _ memory: ExternalMemory, _ number: UInt32, at start: UInt, to device: UInt,
    end: @escaping @Sendable () -> Void
  ) throws(Errno) {
    forgetReleasedMemory()
    let bound = BoundMemory(memory, number, at: start, to: device, end: end)
    guard deviceMemory.count < IOMMU.maximumWindows else { throw .ENOSPC }
    deviceMemory.append(bound)
    unsafe show(bound)
    sockets.deviceMemory[number] = ethernet
  }

  /// - Returns: whether the NIC knows of it.
  @unsafe private func show(_ bound: BoundMemory) {
    let isKnown = unsafe host.link.devices[ethernet].driver.ice.bindMemory(
      bound.start, byteCount: bound.byteCount, to: bound.isBound ? bound.device : 0)
    precondition(isKnown, "the NIC has as many windows as the shard has memory")
  }

  /// No send may name it any more, and the NIC is refused what is not mapped yet. Linux: `net_devmem_unbind_dmabuf()`.
  ///
  /// - Throws: ENOENT.
  package mutating func unbind(memory number: UInt32) throws(Errno) {
    guard let bound = deviceMemory.first(where: { $0.number == number && $0.isBound }) else { throw .ENOENT }
    sockets.deviceMemory[number] = nil
    host.link.devices[ethernet].driver.ice.closeMemory(bound.start)
    bound.close()
    forgetReleasedMemory()
  }

  private mutating func forgetReleasedMemory() {
    for bound in deviceMemory where bound.isGone {
      host.link.devices[ethernet].driver.ice.forgetMemory(bound.start)
    }
    deviceMemory.removeAll { $0.isGone }
  }

  /// The NIC was set up anew.
  mutating func showDeviceMemory() {
    // Safe: what is in the list has not been released.
    for bound in deviceMemory { unsafe show(bound) }
  }
}
