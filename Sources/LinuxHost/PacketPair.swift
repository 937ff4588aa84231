import Glibc

extension OwnedDescriptor {
  /// socketpair(2), AF_UNIX SOCK_SEQPACKET, close-on-exec: what is written at once is read at once, for datagrams.
  public static func packetPair() throws(LinuxError) -> DescriptorPair {
    var numbers: [Int32] = [-1, -1]
    // Safe: the array has the two places socketpair(2) writes.
    let result = unsafe numbers.withUnsafeMutableBufferPointer {
      unsafe socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, $0.baseAddress!)
    }
    guard result == 0 else { throw .last("make", "a socket pair") }
    let pair = DescriptorPair(
      first: OwnedDescriptor(owning: numbers[0]), second: OwnedDescriptor(owning: numbers[1]))
    try pair.first.setCloseOnExec()
    try pair.second.setCloseOnExec()
    return pair
  }

  /// shutdown(2) of the writing half: the other end reads end of file.
  public func shutdownWriting() { _ = shutdown(rawValue, Int32(SHUT_WR)) }
}

extension DescriptorPair {
  /// Takes the pair apart. The caller closes both numbers from now on.
  public consuming func apart() -> (first: Int32, second: Int32) { (first.release(), second.release()) }
}
