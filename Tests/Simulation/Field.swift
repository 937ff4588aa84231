/// One `key=value` of a line of a scenario: how it is read and how it is written.
struct Field<Plan> {
  let name: String
  let text: (Plan) -> String
  let set: (inout Plan, String) -> Bool

  init<Value: LosslessStringConvertible>(_ name: String, _ path: WritableKeyPath<Plan, Value>) {
    self.name = name
    text = { $0[keyPath: path].description }
    set = { plan, text in
      guard let value = Value(text) else { return false }
      plan[keyPath: path] = value
      return true
    }
  }
}

/// What a line of a scenario says: a kind of thing, and of its values those that are not the ordinary ones.
protocol Line {
  static var keyword: String { get }
  static var fields: [Field<Self>] { get }
  init()
}

extension Line {
  /// The line; values that are as they are when nobody says anything are left out.
  var line: String {
    let ordinary = Self()
    let words = Self.fields.filter { $0.text(self) != $0.text(ordinary) }.map {
      "\($0.name)=\($0.text(self))"
    }
    return ([Self.keyword] + words).joined(separator: " ")
  }

  init(words: [Substring], of line: String) throws(ScenarioError) {
    self.init()
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let field = Self.fields.first(where: { $0.name == parts[0] }) else {
        let names = Self.fields.map(\.name).joined(separator: ", ")
        throw ScenarioError("\"\(word)\" in \"\(line)\": expected KEY=VALUE with one of \(names)")
      }
      guard field.set(&self, String(parts[1])) else {
        throw ScenarioError("\"\(parts[1])\" in \"\(line)\" is no value for \(field.name)")
      }
    }
  }
}

/// A word for each case.
protocol Word: RawRepresentable, CaseIterable, LosslessStringConvertible, Sendable where RawValue == String {}

extension Word {
  public init?(_ description: String) { self.init(rawValue: description) }
  public var description: String { rawValue }
}

/// What is wrong with the text of a scenario, a sentence.
public struct ScenarioError: Error, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
