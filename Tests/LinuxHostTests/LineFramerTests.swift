import Testing

@testable import LinuxHost

@Suite("Control messages: framing") struct LineFramerTests {
  static func frames(_ pieces: [String], limit: Int = 5) -> [LineFramer.Frame] {
    var framer = LineFramer(limit: limit)
    var frames: [LineFramer.Frame] = []
    for piece in pieces {
      framer.append(piece.utf8)
      while let frame = framer.next() { frames.append(frame) }
    }
    return frames
  }
  static func message(_ text: String) -> LineFramer.Frame { .message(Array(text.utf8)) }

  @Test("messages end at a newline, wherever the pieces end") func pieces() {
    #expect(
      Self.frames(["ab", "c\nd\n", "\nef"]) == [Self.message("abc"), Self.message("d"), Self.message("")])
  }

  @Test("a message of exactly the limit is taken") func atLimit() {
    #expect(Self.frames(["12345\n"]) == [Self.message("12345")])
    #expect(Self.frames(["12345", "\n"]) == [Self.message("12345")])
  }

  @Test(
    "a longer one is reported once and the stream lives on",
    arguments: [
      ["123456\nok\n"], ["123456", "\nok\n"],
      ["123456", "789", String(repeating: "x", count: 100), "\nok\n"],
    ])
  func oversized(_ pieces: [String]) {
    #expect(Self.frames(pieces) == [.oversized, Self.message("ok")])
  }

  @Test("end of stream inside a message can be told") func inside() {
    var framer = LineFramer(limit: 3)
    #expect(!framer.isInsideMessage)
    framer.append("ab".utf8)
    #expect(framer.next() == nil && framer.isInsideMessage)
    framer.append("cd".utf8)
    #expect(framer.next() == nil && framer.isInsideMessage)
    framer.append("\n".utf8)
    #expect(framer.next() == .oversized && !framer.isInsideMessage)
  }
}
