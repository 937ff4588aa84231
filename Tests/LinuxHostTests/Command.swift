import Foundation
import Glibc

/// Runs a program of the system for a test, in the calling thread's network namespace.
///
/// With `posix_spawn` and `waitpid`: Foundation's `Process` now and then misses the end of one of several children and
/// waits for ever.
enum Command {
  struct Failure: Error {
    let text: String
  }

  @discardableResult
  static func run(_ path: String, _ arguments: [String]) throws -> String {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let output = directory.appendingPathComponent("stdout")
    let complaint = directory.appendingPathComponent("stderr")
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for (number, file) in [(Int32(1), output), (2, complaint)] {
      unsafe posix_spawn_file_actions_addopen(
        &actions, number, file.path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    }
    var pointers = unsafe ([path] + arguments).map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { for index in 0..<(unsafe pointers.count) { unsafe free(pointers[index]) } }
    var child: pid_t = 0
    let code = unsafe posix_spawn(&child, path, &actions, nil, pointers, environ)
    guard code == 0 else { throw Failure(text: "\(path): errno \(code)") }
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    guard status == 0 else {
      throw Failure(
        text: "\(path) \(arguments): \((try? String(contentsOf: complaint, encoding: .utf8)) ?? "")")
    }
    return (try? String(contentsOf: output, encoding: .utf8)) ?? ""
  }
}
