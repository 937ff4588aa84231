import NetNamespace
import SwiftStack
import TestSupport

/// A socket of the stack and one of the kernel in the same state.
final class OptionPair {
  private let stack: SimulatedStack
  private let ours: Socket
  private let theirs: KernelSocket
  /// The far ends, kept open.
  private var others: [AnyObject] = []

  init(_ kind: OptionOracleTests.Kind) throws {
    var configuration = StackConfiguration(gateway: IPv4Address(10, 0, 0, 1))
    configuration.settings.maximumWriteMemory = KernelSocket.setting("net/core/wmem_max")
    configuration.settings.maximumReadMemory = KernelSocket.setting("net/core/rmem_max")
    configuration.settings.defaultWriteMemory = KernelSocket.setting("net/core/wmem_default")
    configuration.settings.defaultReadMemory = KernelSocket.setting("net/core/rmem_default")
    configuration.settings.tcpReadMemory.most = KernelSocket.setting("net/ipv4/tcp_rmem", field: 2)
    stack = try SimulatedStack(configuration)
    let isStream = kind == .tcp || kind == .listening || kind == .connected
    ours = try stack.stack.socket(isStream ? .tcp : .udp)
    ours.isNonBlocking = true
    theirs = try KernelSocket(isStream: isStream)
    switch kind {
    case .tcp, .udp: break
    case .listening:
      try theirs.bindToLoopback()
      try theirs.listenForOne()
      try ours.bind(to: SocketAddress(.any, port: 80))
      try ours.listen()
    case .connected:
      let listener = try KernelSocket(isStream: true)
      try listener.bindToLoopback()
      try listener.listenForOne()
      try theirs.connect(to: listener.port)
      others = [listener, listener.acceptOne()]
      let ourListener = try stack.stack.socket(.tcp)
      ourListener.isNonBlocking = true
      try ourListener.bind(to: SocketAddress(.any, port: 80))
      try ourListener.listen()
      try? ours.connect(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 80))
      stack.advance(to: stack.now + .milliseconds(10))
      others += [ourListener, try ourListener.accept()]
    case .udpConnected:
      let peer = try KernelSocket(isStream: false)
      try peer.bindToLoopback()
      try theirs.connect(to: peer.port)
      others = [peer]
      try ours.connect(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 80))
    }
  }

  func kernelSet(_ option: ListedOption, _ value: [UInt8]) -> Int32 {
    theirs.set(option.level, option.number, value)
  }
  func stackSet(_ option: ListedOption, _ value: [UInt8]) -> Int32 {
    do throws(SocketError) {
      // Safe: a byte has no padding.
      try ours.setsockopt(level: option.level, name: option.number, value: unsafe value.span.bytes)
      return 0
    } catch { return error.errno.rawValue }
  }

  /// The bytes, or the errno.
  func kernelGet(_ option: ListedOption, maximum: Int = 64) -> String {
    let result = theirs.get(option.level, option.number, maximum: maximum)
    return result.errno == 0 ? "\(result.bytes)" : "errno \(result.errno)"
  }
  func stackGet(_ option: ListedOption, maximum: Int = 64) -> String {
    do throws(SocketError) {
      return "\(try ours.getsockopt(level: option.level, name: option.number, maximum: maximum))"
    } catch { return "errno \(error.errno.rawValue)" }
  }
}
