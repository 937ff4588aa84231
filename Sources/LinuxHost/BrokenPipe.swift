import Glibc

/// What a write to a pipe without a reader does to its thread.
public enum BrokenPipe {
  /// Sends SIGPIPE to the calling thread; returns when the process handles or ignores it.
  public static func raise() { _ = Glibc.raise(SIGPIPE) }
}
