import FuzzSupport
import SwiftStack

/// Control messages: any line gives a value or a sentence; what was understood survives a round trip.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzControl(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe FuzzInput.bytes(start, count)
  if let request = try? ControlCodec.decodeRequest(input) {
    let again = try? ControlCodec.decodeRequest(ControlCodec.encode(request))
    precondition(again == request, "A request comes back as it was sent.")
  }
  _ = try? ControlCodec.decodeAnswer(input)
  return 0
}
