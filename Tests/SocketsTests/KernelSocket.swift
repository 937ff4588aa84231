import Foundation
import Glibc

/// A socket of the kernel beside the stack: the oracle for what an option answers.
final class KernelSocket {
  let descriptor: Int32

  /// - Parameter number: the protocol; 0 is the type's own.
  init(isStream: Bool, protocol number: Int32 = 0) throws {
    descriptor = socket(AF_INET, Int32((isStream ? SOCK_STREAM : SOCK_DGRAM).rawValue), number)
    if descriptor < 0 { throw CocoaError(.fileReadUnknown) }
  }
  init(adopting descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  /// - Returns: the errno; 0 when it was taken.
  func set(_ level: Int32, _ name: Int32, _ value: [UInt8]) -> Int32 {
    let result = unsafe value.withUnsafeBytes {
      // A buffer without bytes has no address; the kernel looks at the length first.
      unsafe setsockopt(
        descriptor, level, name, $0.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!, UInt32($0.count))
    }
    return result == 0 ? 0 : errno
  }

  func get(_ level: Int32, _ name: Int32, maximum: Int) -> (errno: Int32, bytes: [UInt8]) {
    var value = [UInt8](repeating: 0, count: max(maximum, 1))
    var length = UInt32(maximum)
    let result = unsafe value.withUnsafeMutableBytes {
      unsafe getsockopt(descriptor, level, name, $0.baseAddress!, &length)
    }
    return result == 0 ? (0, Array(value[..<Int(length)])) : (errno, [])
  }

  private static func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }

  private func withAddress(
    _ port: UInt16, _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws {
    var address = Self.loopback(port: port)
    let result = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if result != 0 { throw CocoaError(.fileReadUnknown) }
  }

  func bindToLoopback() throws { try unsafe withAddress(0) { unsafe bind($0, $1, $2) } }

  var port: UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getsockname(descriptor, $0, &length)
      }
    }
    return UInt16(bigEndian: address.sin_port)
  }

  func connect(to port: UInt16) throws { try unsafe withAddress(port) { unsafe Glibc.connect($0, $1, $2) } }
  func listenForOne() throws { if listen(descriptor, 1) != 0 { throw CocoaError(.fileReadUnknown) } }
  func acceptOne() -> KernelSocket { KernelSocket(adopting: accept(descriptor, nil, nil)) }

  /// A number of the kernel's own under /proc/sys, of which some files hold several.
  static func setting(_ path: String, field: Int = 0) -> Int {
    let text = (try? String(contentsOfFile: "/proc/sys/\(path)", encoding: .utf8)) ?? ""
    let numbers = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    return field < numbers.count ? numbers[field] : 0
  }
}
