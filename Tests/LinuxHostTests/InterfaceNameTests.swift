import Glibc
import Testing

@testable import LinuxHost

@Suite("Bad input: interface names") struct InterfaceNameTests {
  @Test(
    "dev_valid_name: 1 to 15 bytes are taken", arguments: ["t", "tap0", "a23456789012345", "wg-.x_", "täp"])
  func valid(_ text: String) throws {
    #expect(try InterfaceName(text).text == text)
  }

  @Test(
    "dev_valid_name: these are refused with the reason",
    arguments: [
      ("", "at least one character"), ("a234567890123456", "at most 15 bytes, this one has 16"),
      ("tap/0", "cannot contain \"/\""), ("tap:0", "cannot contain \":\""), ("tap 0", "white space"),
      ("tap\n", "white space"), ("tap\u{7F}", "control character"), ("..", "cannot be named"),
      (".", "cannot be named"),
      ("tap%d", "cannot contain \"%\""), ("ääääääääx", "at most 15 bytes, this one has 17"),
    ])
  func invalid(_ text: String, _ words: String) {
    let error = #expect(throws: LinuxError.self) { try InterfaceName(text) }
    #expect(error?.description.contains(words) == true)
    #expect(error?.description.hasPrefix("cannot use the interface name \"\(text)\": ") == true)
  }
}
