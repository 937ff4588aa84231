import CLinux

/// The processors that this process may run on.
public enum Processors {
  /// At least one. Linux: sched_getaffinity(2), which knows of taskset and of a container's cpuset.
  public static var availableCount: Int {
    // A bit for each of 8,192 processors, the most that Linux can be built for.
    var set = [UInt8](repeating: 0, count: 1024)
    let count = unsafe set.withUnsafeMutableBytes { unsafe clinux_affinity($0.baseAddress, $0.count) }
    guard count > 0 else { return 1 }
    return max(set.reduce(0) { $0 + $1.nonzeroBitCount }, 1)
  }
}
