import LinuxHost

/// Lines on standard error: messages for people.
enum StandardError {
  static func print(_ text: String) { StandardStreams.write(text + "\n", to: 2) }
}

/// Lines on standard output: what was asked for, each line out at once.
enum StandardOutput {
  static func print(_ text: String) { StandardStreams.write(text + "\n", to: 1) }
}

/// Unbuffered writes to the streams that every process has.
enum StandardStreams {
  /// A reader that has gone away (`| head`) ends the output silently, as for other commands.
  static func write(_ text: String, to number: Int32) {
    try? write(Array(text.utf8), to: number)
  }

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
