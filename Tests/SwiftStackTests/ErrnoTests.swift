import LinuxHost
import NetNamespace
import Testing

@Suite struct ErrnoTests {
  @Test("every error number has the name that the C library gives it")
  func texts() {
    for code in Int32(1)...133 {
      #expect(Errno(rawValue: code).description == LinuxError.text(of: code))
    }
    #expect(Errno.ECANCELED.description == "Operation canceled")
    #expect(Errno(rawValue: 4000).description == "Unknown error 4000")
  }
}
