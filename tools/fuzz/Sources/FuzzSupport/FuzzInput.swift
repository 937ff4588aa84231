/// The bytes that libFuzzer hands over, copied: nothing unsafe goes further than here.
public enum FuzzInput {
  /// - Parameters:
  ///   - start: `count` readable bytes, valid during the call.
  public static func bytes(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
    // libFuzzer guarantees count readable bytes at start.
    unsafe Array(UnsafeBufferPointer(start: start, count: count))
  }
}
