import Tables
import Testing

/// Words taken one by one.
@Suite struct WordsTests {
  private func words(_ text: String, about subject: String? = nil) -> Words {
    Words(text.split(separator: " ").map(String.init), about: subject)
  }

  @Test("words are taken in order, looked at, passed over, and all the rest at once")
  func order() {
    var taken = words("a b c d")
    #expect(taken.next() == "a" && taken.peek == "b" && !taken.skip("c") && taken.skip("b"))
    #expect(taken.said == "a b")
    #expect(taken.rest() == ["c", "d"] && taken.next() == nil && taken.peek == nil && taken.rest().isEmpty)
    #expect(taken.said == "a b c d")
    var later = Words(["x", "y"], from: 1)
    #expect(later.next() == "y")
    var none = Words(["x"], from: 5)
    #expect(none.next() == nil)
  }

  @Test(
    "a sentence names the word, what was expected, and what it is about",
    arguments: [
      ("", "q: \"n\" needs a value: expected things, 1 to 5"),
      ("6", "q: illegal value for \"n\": \"6\": expected things, 1 to 5"),
      ("x", "q: illegal value for \"n\": \"x\": expected things, 1 to 5"),
    ])
  func sentences(text: String, sentence: String) {
    var taken = words(text, about: "q")
    #expect(throws: WordError(sentence)) { try taken.value(of: "n", .count("things", in: 1...5)) }
    var bare = words(text)
    #expect(throws: WordError(String(sentence.dropFirst(3)))) {
      try bare.value(of: "n", .count("things", in: 1...5))
    }
  }

  @Test("an optional value is taken where a number begins, and is then one or wrong")
  func optional() throws {
    for (text, value) in [("3 x", 3), ("x", nil), ("", nil)] as [(String, Int?)] {
      var taken = words(text)
      #expect(try taken.optional("n", .count("things", in: 1...5)) == value)
      #expect(taken.peek == (text.isEmpty ? nil : "x"))
    }
    for text in ["-1", "+9", ".5", "7"] {
      var taken = words(text)
      #expect(throws: WordError.self) { try taken.optional("n", .count("things", in: 1...5)) }
    }
  }

  @Test("a range is one number or two, the first not above the last")
  func ranges() {
    let ports: Quantity<ClosedRange<UInt16>> = .range("ports")
    #expect(ports.parse("5") == 5...5 && ports.parse("5-65535") == 5...65535)
    for text in ["", "-", "5-", "-5", "5-6-7", "6-5", "65536", "a", "5 - 6"] {
      #expect(ports.parse(text) == nil)
    }
  }

  @Test("what may be said once is refused the second time, and what is left at the end is named")
  func once() throws {
    var taken = words("a b", about: "q")
    try taken.once("rate")
    try taken.once("limit")
    #expect(throws: WordError("q: duplicate \"rate\"")) { try taken.once("rate") }
    #expect(throws: WordError("q: nothing follows \"z\", there is \"a\"")) { try taken.end(after: "z") }
    _ = taken.rest()
    try taken.end(after: "z")
  }
}
