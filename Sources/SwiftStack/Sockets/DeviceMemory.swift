import LinuxHost
import NetNamespace
import Shard
import SkBuff
import Sockets

/// Memory that only the NIC reads, as that of an accelerator: the stack sends it and never touches it. A file stands for the
/// dma-buf that it would be on Linux.
///
/// ```swift
/// let memory = try stack.bindDeviceMemory(descriptor, byteCount: 1 << 20)
/// try socket.setZeroCopy(true)
/// try socket.send(memory, 0..<4096)
/// let done = try socket.completion()    // nothing reads the 4,096 bytes any more
/// ```
public final class DeviceMemory: Sendable {
  /// What `SCM_DEVMEM_DMABUF` names it by.
  public let id: UInt32
  /// How much there is.
  public let byteCount: Int
  fileprivate let memory: ExternalMemory

  fileprivate init(id: UInt32, memory: ExternalMemory) {
    self.id = id
    byteCount = memory.byteCount
    self.memory = memory
  }
}

/// The addresses that packets have, until no shard knows them any more.
private final class HiddenAddresses: Sendable {
  private let mappings: DeviceMappings
  init(_ mappings: DeviceMappings) { self.mappings = mappings }
  deinit { mappings.unmapHidden() }
}

extension Stack {
  /// Binds a file's memory to the NIC. Linux: `net_devmem_bind_dmabuf()`, the netlink call `bind-tx` of `netdev`.
  ///
  /// - Parameters:
  ///   - descriptor: of a file that is not cut shorter while it is bound, such as memfd_create(2) makes.
  ///   - byteCount: 1 to 2 GiB less one byte, all of them in the file.
  /// - Throws: `StackError` with EINVAL, the errors of mmap(2), ENOSPC when 16 are bound, ENETDOWN after `close()`.
  public func bindDeviceMemory(_ descriptor: Int32, byteCount: Int) throws(StackError) -> DeviceMemory {
    guard byteCount > 0, byteCount <= Int(Int32.max) else {
      throw StackError("bind memory: its size is 1 to 2,147,483,647 bytes", code: .EINVAL)
    }
    let mappings: DeviceMappings
    do { mappings = try DeviceMappings(descriptor, byteCount: byteCount) } catch {
      throw StackError("bind memory: \(error)", code: Errno(rawValue: error.code))
    }
    // Safe: nobody reads there; the addresses stay until the last packet has ended.
    let hidden = unsafe UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: mappings.hidden), count: byteCount)
    let memory = unsafe ExternalMemory(bytes: hidden, isReadable: false) { mappings.unmapVisible() }
    // Every shard has a window on it; the addresses end with the last.
    let last = HiddenAddresses(mappings)
    var id: UInt32 = 0
    do {
      try change("bind memory") { (state) throws(Errno) in
        id = state.takeRuleHandle()
        // Safe: the NIC's mapping lasts as long as the memory, which the shard keeps while it is bound.
        unsafe try state.bind(memory, id, at: mappings.hidden, to: mappings.visible) { _ = last }
      }
    } catch {
      // One that would not take it: those that did forget it.
      try? change("unbind memory") { (state) throws(Errno) in try? state.unbind(memory: id) }
      throw error
    }
    return DeviceMemory(id: id, memory: memory)
  }

  /// Ends the binding: no send may name it any more, and what the NIC has not begun to read it is refused.
  ///
  /// - Throws: `StackError` with ENOENT when it has ended before.
  public func unbind(_ memory: DeviceMemory) throws(StackError) {
    try change("unbind memory") { (state) throws(Errno) in try state.unbind(memory: memory.id) }
  }
}

extension Socket {
  /// Sends a part of device memory; a completion tells when nothing reads it any more. Linux: sendmsg(2) with
  /// `SCM_DEVMEM_DMABUF`, whose `iov_base` is an offset.
  ///
  /// - Throws: EINVAL without `setZeroCopy(true)`, without `.zeroCopy` among the flags, or when the memory is not bound;
  ///   EFAULT for a part that is not inside; ENODEV when the way leads over another device; EOPNOTSUPP when segments are
  ///   signed; and as `send`.
  @discardableResult
  public func send(
    _ memory: DeviceMemory, _ range: Range<Int>, flags: MessageFlags = .zeroCopy
  ) throws(SocketError) -> Int {
    guard range.lowerBound >= 0, range.upperBound <= memory.byteCount, let slice = memory.memory[range] else {
      throw SocketError("sendmsg", .EFAULT)
    }
    var header = MessageHeader(flags: flags)
    header.control.deviceMemory = memory.id
    return try send([slice], header)
  }
}
