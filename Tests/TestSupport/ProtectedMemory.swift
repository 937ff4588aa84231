import Glibc
import SwiftStack

/// Memory of a test's that can be taken away from everybody: whoever reads it then ends the process.
///
/// Safety: mapped in `init`, unmapped with the last reference to `memory`.
@safe public final class ProtectedMemory: Sendable {
  public let memory: ExternalMemory

  public init(_ bytes: [UInt8]) {
    let size = bytes.count
    let base = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else { fatalError("no memory for a test") }
    let room = unsafe UnsafeMutableRawBufferPointer(start: base, count: size)
    unsafe room.copyBytes(from: bytes)
    let address = UInt(bitPattern: base)
    unsafe memory = ExternalMemory(bytes: room) {
      unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), size)
    }
  }

  public func protect() { unsafe mprotect(memory.bytes.baseAddress, memory.byteCount, PROT_NONE) }
  public subscript(index: Int) -> UInt8 {
    get { unsafe memory.bytes[index] }
    set { unsafe memory.bytes[index] = newValue }
  }

  public static func pattern(_ count: Int, from start: Int = 0) -> [UInt8] {
    (start..<start + count).map { UInt8(truncatingIfNeeded: $0 % 251) }
  }
}
