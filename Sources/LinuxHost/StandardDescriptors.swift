import CLinux
import Glibc

/// Descriptors 0 to 2. A program that is started without one of them would get its number for the next thing it opens, and
/// then write its answers and its log there.
public enum StandardDescriptors {
  /// Gives the numbers that are not open to /dev/null, opened the wrong way round: reading standard input and writing to
  /// the others stays EBADF. glibc does so for set-user-ID programs: `__libc_check_standard_fds()`.
  ///
  /// To be called before anything else is opened.
  public static func reserve(_ numbers: ClosedRange<Int32> = 0...2) throws(LinuxError) {
    for number in numbers where (clinux_fcntl(number, F_GETFD, 0) < 0) {
      let flags = (number == 0 ? O_WRONLY : O_RDONLY)
      let opened = try OwnedDescriptor.open("/dev/null", flags: flags).release()
      if opened == number { continue }
      defer { _ = close(opened) }
      guard dup2(opened, number) == number else { throw .last("reserve", "descriptor \(number)") }
    }
  }
}
