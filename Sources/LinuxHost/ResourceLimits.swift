import Glibc

/// What the system lets this process have.
public enum ResourceLimits {
  /// Raises the number of descriptors this process may have open to the most it may ask for.
  ///
  /// - Returns: how many there may be now.
  @discardableResult
  public static func raiseDescriptors() -> Int {
    var limit = rlimit()
    // Safe: one rlimit is what the call writes.
    guard unsafe getrlimit(descriptors, &limit) == 0 else { return 0 }
    if limit.rlim_cur < limit.rlim_max {
      var raised = limit
      raised.rlim_cur = limit.rlim_max
      if unsafe setrlimit(descriptors, &raised) == 0 { limit = raised }
    }
    return Int(clamping: limit.rlim_cur)
  }

  private static var descriptors: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
}
