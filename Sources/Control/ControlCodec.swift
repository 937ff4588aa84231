import FoundationEssentials

/// JSON lines to values and back, with sentences for what is wrong.
public enum ControlCodec {
  /// Reads a request. Any bytes at all give a request or a sentence.
  public static func decodeRequest(_ line: [UInt8]) throws(ControlError) -> ControlRequest {
    let request: ControlRequest
    do {
      request = try JSONDecoder().decode(ControlRequest.self, from: Data(line))
    } catch {
      throw ControlError("malformed control message: \(reason(error))")
    }
    guard request.version == ControlRequest.currentVersion else {
      throw ControlError(
        "control message of version \(request.version), this stack speaks version "
          + "\(ControlRequest.currentVersion); use the client it came with")
    }
    return request
  }

  /// Reads an answer. Any bytes at all give an answer or a sentence.
  public static func decodeAnswer(_ line: [UInt8]) throws(ControlError) -> ControlAnswer {
    do {
      return try JSONDecoder().decode(ControlAnswer.self, from: Data(line))
    } catch {
      throw ControlError("the stack's answer cannot be read: \(reason(error)); is it of another version?")
    }
  }

  public static func encode(_ request: ControlRequest) -> [UInt8] { line(request) }
  public static func encode(_ answer: ControlAnswer) -> [UInt8] { line(answer) }

  private static func line(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    guard let data = try? encoder.encode(value) else {
      preconditionFailure("a control message of plain values always encodes")
    }
    return [UInt8](data)
  }

  private static func reason(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "it is not JSON" }
    switch error {
    case .keyNotFound(let key, _): return "\"\(key.stringValue)\" is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return context.codingPath.last.map { "\"\($0.stringValue)\" has the wrong type" }
        ?? "it is not an object"
    case .dataCorrupted(let context):
      return context.codingPath.last.map { "\"\($0.stringValue)\" is not valid" } ?? "it is not JSON"
    @unknown default: return "it is not understood"
    }
  }
}

/// A sentence about a control conversation that went wrong.
public struct ControlError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The sentence.
  public var description: String
  /// An error with its sentence.
  public init(_ description: String) { self.description = description }
}
