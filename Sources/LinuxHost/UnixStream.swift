import CLinux
import Glibc
import Timers

/// A connected UNIX stream socket. Writing to a closed peer is EPIPE, never a signal.
public struct UnixStream: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Gives up the stream for its descriptor.
  public consuming func takeDescriptor() -> OwnedDescriptor { descriptor }

  /// Connects to a listener. ENOENT and ECONNREFUSED mean that nobody is there, EAGAIN that whoever listens has not
  /// taken the clients before for a while: it is stopped, or has its hands full.
  ///
  /// - Parameter patience: how long a full queue of waiting clients is waited for.
  public static func connect(
    to text: String, patience: Nanoseconds = .seconds(5)
  ) throws(LinuxError) -> UnixStream {
    let operation = "connect to the control socket"
    let path = try UnixSocketPath(text, for: operation)
    let number = socket(AF_UNIX, clinux_socket_stream, 0)
    guard number >= 0 else { throw .last("make", "a UNIX socket") }
    let descriptor = OwnedDescriptor(owning: number)
    try descriptor.setNonBlocking()
    var code: Int32 = 0
    let end = MonotonicClock.now() + patience
    while true {
      // Safe: the address and its length are lent for the call.
      code = unsafe path.withSocketAddress({ unsafe Glibc.connect(number, $0, $1) }) == 0 ? 0 : errno
      if code != EAGAIN && code != EINTR || MonotonicClock.now() >= end { break }
      if code == EAGAIN { usleep(min(50_000, useconds_t(clamping: patience.rawValue / 1000))) }
    }
    guard code == 0 else {
      switch code {
      case ENOENT, ECONNREFUSED:
        throw LinuxError(
          code, operation, text, reason: "no stack is running there",
          advice: "Start one with \"swiftstack up IFNAME\".")
      case EACCES, EPERM:
        throw LinuxError(code, operation, text, advice: "Run it as who started the stack, or as root (sudo).")
      case EAGAIN:
        throw LinuxError(
          code, operation, text, reason: "the stack there takes no clients",
          advice: "Is its process stopped? \"kill -CONT\" lets it go on.")
      default:
        throw LinuxError(code, operation, text)
      }
    }
    try descriptor.setNonBlocking(false)
    return UnixStream(descriptor)
  }

  /// Two connected streams, blocking, close-on-exec.
  public static func pair() throws(LinuxError) -> UnixStreamPair {
    let both = try OwnedDescriptor.socketPair()
    return UnixStreamPair(first: UnixStream(both.first), second: UnixStream(both.second))
  }

  /// Sends some of the bytes.
  public func send(_ bytes: RawSpan) -> DescriptorIO {
    let number = descriptor.rawValue
    // Safe: pointer and count are the caller's span's.
    return unsafe bytes.withUnsafeBytes { room in
      DescriptorIO.restarting {
        unsafe Glibc.send(number, room.baseAddress, room.count, clinux_no_signal)
      }
    }
  }

  /// Sends some of the bytes, at least one, and with the first of them a duplicate of `passed`
  /// (SCM_RIGHTS). The caller still owns `passed`. A descriptor cannot go without a byte.
  public func send(_ bytes: RawSpan, passing passed: borrowing OwnedDescriptor) -> DescriptorIO {
    send(bytes, passingNumber: passed.rawValue)
  }

  func send(_ bytes: RawSpan, passingNumber passed: Int32) -> DescriptorIO {
    precondition(bytes.byteCount > 0, "A passed descriptor travels with at least one byte.")
    let number = descriptor.rawValue
    // Safe: pointer and count are the caller's span's.
    return unsafe bytes.withUnsafeBytes { room in
      DescriptorIO.restarting {
        unsafe clinux_send_descriptor(number, room.baseAddress, room.count, passed)
      }
    }
  }

  /// Receives what is there, and at most one passed descriptor. `.bytes(0)` is end of stream.
  public func receive(into bytes: inout MutableRawSpan) -> UnixReceipt {
    let number = descriptor.rawValue
    var passed: Int32 = -1
    // Safe: pointer and count are the caller's span's, and the shim writes one Int32.
    let result = unsafe bytes.withUnsafeMutableBytes { room in
      DescriptorIO.restarting {
        unsafe clinux_receive_descriptor(number, room.baseAddress, room.count, &passed)
      }
    }
    return UnixReceipt(result: result, passed: passed >= 0 ? OwnedDescriptor(owning: passed) : nil)
  }

  /// Who is at the other end, as of when it connected (SO_PEERCRED).
  public func peerCredentials() throws(LinuxError) -> PeerCredentials {
    var values: [Int32] = [0, 0, 0]
    let number = descriptor.rawValue
    // Safe: the shim writes three ints, the array's size.
    let result = unsafe values.withUnsafeMutableBufferPointer {
      unsafe clinux_peer_credentials(number, $0.baseAddress!)
    }
    guard result == 0 else { throw .last("identify the peer of", "a UNIX socket") }
    return PeerCredentials(
      processID: values[0], userID: UInt32(bitPattern: values[1]), groupID: UInt32(bitPattern: values[2]))
  }
}

/// What one receive brought.
@frozen
public struct UnixReceipt: ~Copyable, Sendable {
  public let result: DescriptorIO
  public var passed: OwnedDescriptor?

  /// Gives up the receipt for the passed descriptor.
  public consuming func takePassed() -> OwnedDescriptor? { passed }
}

/// `struct ucred`
public struct PeerCredentials: Equatable, Sendable {
  public var processID: Int32
  public var userID: UInt32
  public var groupID: UInt32
}

/// Two connected ends.
@frozen
public struct UnixStreamPair: ~Copyable, Sendable {
  public var first: UnixStream
  public var second: UnixStream
}

extension OwnedDescriptor {
  /// socketpair(2), AF_UNIX SOCK_STREAM, blocking, close-on-exec.
  public static func socketPair() throws(LinuxError) -> DescriptorPair {
    var numbers: [Int32] = [-1, -1]
    // Safe: the array has the two places socketpair(2) writes.
    let result = unsafe numbers.withUnsafeMutableBufferPointer {
      unsafe socketpair(AF_UNIX, clinux_socket_stream, 0, $0.baseAddress!)
    }
    guard result == 0 else { throw .last("make", "a socket pair") }
    return DescriptorPair(
      first: OwnedDescriptor(owning: numbers[0]), second: OwnedDescriptor(owning: numbers[1]))
  }
}
