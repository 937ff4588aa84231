import LinuxHost

/// Lines on standard error: messages for people.
enum StandardError {
  /// Whoever cannot be told is not told.
  static func print(_ text: String) { try? StandardStreams.write(Array((text + "\n").utf8), to: 2) }
}

/// Lines on standard output: what was asked for, each print out at once. What cannot be written is an error: a full disk
/// must not pass for an answer.
enum StandardOutput {
  static func print(_ text: String) throws(LinuxError) {
    try StandardStreams.write(Array((text + "\n").utf8), to: 1)
  }
}

/// Unbuffered writes to the streams that every process has.
enum StandardStreams {
  static func write(_ bytes: [UInt8], to number: Int32) throws(LinuxError) {
    let stream = OwnedDescriptor(owning: number)
    let result = Result { () throws(LinuxError) in
      // Safe: a byte has no padding.
      try stream.writeAll(
        unsafe bytes.span.bytes, subject: number == 1 ? "standard output" : "standard error")
    }
    // The stream stays open for others.
    _ = stream.release()
    try result.get()
  }
}
