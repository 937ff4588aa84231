import FuzzSupport
import Control
import SwiftStack

/// Control messages: any line gives a value or a sentence; what was understood survives a round trip. And the words that
/// messages carry: a change is understood, and what it sets can be printed, or refused.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzControl(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe FuzzInput.bytes(start, count)
  if let request = try? ControlCodec.decodeRequest(input) {
    let again = try? ControlCodec.decodeRequest(ControlCodec.encode(request))
    precondition(again == request, "A request comes back as it was sent.")
  }
  _ = try? ControlCodec.decodeAnswer(input)
  let words = String(decoding: input, as: UTF8.self).split(separator: " ").map(String.init)
  do {
    if case .replaceQdisc(_, let qdisc, _) = try StackChange(words: words, device: "tap0") {
      precondition(!qdisc.kind.usage.isEmpty && qdisc.options.utf8.count < 4096)
    }
  } catch {
    precondition(!error.description.isEmpty)
  }
  return 0
}
