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
    let stream = OwnedDescriptor(owning: number)
    let bytes = Array(text.utf8)
    // Safe: a byte has no padding.
    try? stream.writeAll(unsafe bytes.span.bytes, subject: "the output")
    _ = stream.release()
  }
}
