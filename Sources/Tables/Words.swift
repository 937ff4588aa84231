/// What is wrong with words: a sentence that names the word and what is expected there.
public struct WordError: Error, Equatable, Sendable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// How a value is written as one word.
public struct Quantity<Value> {
  /// What is expected, for the sentence about a word that is none.
  public let expected: String
  /// The word's value; `nil`: it is none.
  public let parse: (String) -> Value?

  public init(_ expected: String, _ parse: @escaping (String) -> Value?) {
    self.expected = expected
    self.parse = parse
  }
}

/// Words taken one by one: what `swiftstack`'s verbs, queueing disciplines and rules are read from. Linux: iproute2's
/// `NEXT_ARG()` and kin.
public struct Words: Sendable {
  private let words: [String]
  private var place: Int
  /// What the sentences are about.
  private let subject: String?
  private var taken: Set<String> = []

  /// - Parameters:
  ///   - start: how many of the words stand before those that are taken.
  ///   - subject: what a sentence begins with; `nil`: nothing.
  public init(_ words: [String], from start: Int = 0, about subject: String? = nil) {
    self.words = words
    place = min(start, words.count)
    self.subject = subject
  }

  /// The next word, which stays.
  public var peek: String? { place < words.count ? words[place] : nil }
  /// All that was taken, for a sentence about what should follow it.
  public var said: String { words[..<place].joined(separator: " ") }
  /// Whether the next word begins like a number, as optional values do.
  public var beginsNumber: Bool { peek?.first.map { $0.isNumber || "+-.".contains($0) } ?? false }

  public mutating func next() -> String? {
    guard let word = peek else { return nil }
    place += 1
    return word
  }

  /// Takes the next word when it is this one.
  public mutating func skip(_ word: String) -> Bool {
    guard peek == word else { return false }
    place += 1
    return true
  }

  /// All that is left.
  public mutating func rest() -> [String] {
    defer { place = words.count }
    return Array(words[place...])
  }

  /// Notes that something was said, which may be said once. Linux: `duparg()`.
  public mutating func once(_ what: String) throws(WordError) {
    guard taken.insert(what).inserted else { throw wrong("duplicate \"\(what)\"") }
  }

  /// The value behind the word `name`.
  public mutating func value<Value>(
    of name: String, _ quantity: Quantity<Value>
  ) throws(WordError) -> Value {
    guard let word = next() else { throw wrong("\"\(name)\" needs a value: expected \(quantity.expected)") }
    guard let value = quantity.parse(word) else {
      throw wrong("illegal value for \"\(name)\": \"\(word)\": expected \(quantity.expected)")
    }
    return value
  }

  /// The same where the next word begins like a number; `nil`, and nothing taken, where it does not.
  public mutating func optional<Value>(
    _ name: String, _ quantity: Quantity<Value>
  ) throws(WordError) -> Value? {
    guard beginsNumber else { return nil }
    return try value(of: name, quantity)
  }

  /// Says that nothing may follow.
  public func end(after word: String) throws(WordError) {
    if let more = peek { throw wrong("nothing follows \"\(word)\", there is \"\(more)\"") }
  }

  /// A sentence about the subject.
  public func wrong(_ what: String) -> WordError {
    WordError(subject.map { "\($0): \(what)" } ?? what)
  }
}

extension Quantity<Int> {
  /// A number, with what it counts.
  public static func count(_ expected: String, in range: ClosedRange<Int>) -> Self {
    Self("\(expected), \(range.lowerBound) to \(range.upperBound)") { word in
      guard let count = Int(word), range.contains(count) else { return nil }
      return count
    }
  }
}

extension Quantity {
  /// A number, or a range of two with `-` between them.
  public static func range<Bound>(_ expected: String) -> Self
  where Bound: FixedWidthInteger & UnsignedInteger, Value == ClosedRange<Bound> {
    Self(expected) { word in
      let ends = word.split(separator: "-", omittingEmptySubsequences: false).map { Bound($0) }
      guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else {
        return nil
      }
      return first...last
    }
  }
}
