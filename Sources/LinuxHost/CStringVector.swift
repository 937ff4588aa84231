import Glibc

/// A NULL-terminated array of C strings, as exec and its kin take them. Owns the strings.
@safe
struct CStringVector: ~Copyable {
  /// `count` strings from strdup and a NULL, owned.
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    count = strings.count
    // Safe: every place is initialized before use, and deinit frees each string and the array.
    unsafe pointer = .allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() {
      unsafe (pointer + index).initialize(to: strdup(string))
    }
    unsafe (pointer + strings.count).initialize(to: nil)
  }

  deinit {
    for index in 0..<count { unsafe free(pointer[index]) }
    unsafe pointer.deallocate()
  }

  /// The process's environment, `KEY=value` each.
  static func environment() -> [String] {
    var result: [String] = []
    // Safe: environ is a NULL-terminated vector; nobody changes it while a command starts up.
    var index = 0
    while let entry = unsafe environ[index] {
      unsafe result.append(String(cString: entry))
      index += 1
    }
    return result
  }
}
