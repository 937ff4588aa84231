import Glibc
import Testing

@testable import LinuxHost

@Suite struct StandardDescriptorsTests {
  @Test("a number that is not open is taken by /dev/null, against its direction; one that is stays")
  func reserve()
    throws
  {
    let first: Int32 = 700
    defer { for number in first...first + 2 { close(number) } }
    let pipe = try OwnedDescriptor.pipe()
    #expect(dup2(pipe.second.rawValue, first + 1) == first + 1)
    let kept = FileIdentity(of: pipe.second)
    try StandardDescriptors.reserve(first...first + 2)
    let null = try #require(FileIdentity(ofFileAt: "/dev/null"))
    for number in [first, first + 2] {
      let copy = OwnedDescriptor(owning: dup(number))
      let found = FileIdentity(of: copy)
      #expect(found == null)
    }
    let copy = OwnedDescriptor(owning: dup(first + 1))
    let found = FileIdentity(of: copy)
    #expect(found == kept && kept != nil && found != null)
    var byte: UInt8 = 1
    #expect(unsafe write(first + 2, &byte, 1) == -1 && errno == EBADF)
  }
}
