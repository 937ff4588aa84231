import Foundation
import Testing

@testable import LinuxHost

@Suite("up --detach") struct DetachedProcessTests {
  static func launch(_ script: String, log: String? = nil) throws -> DetachedProcess.Outcome {
    try DetachedProcess.launch(executable: "/bin/sh", arguments: ["sh", "-c", script], logPath: log)
  }

  @Test("the parent hears that all is up, from a session of its own without a terminal") func ready() throws {
    // Field 6 of /proc/PID/stat is the session; a session leader's is its own number.
    let script = """
      set -- $(cat /proc/$$/stat); printf 'R%s %s %s' "$1" "$6" "$(readlink /proc/$$/fd/0)" >&3
      """
    guard case .ready(let processID, let message) = try Self.launch(script) else {
      Issue.record("not ready")
      return
    }
    #expect(message == "\(processID) \(processID) /dev/null")
  }

  @Test("it hears the child's own error") func failed() throws {
    #expect(try Self.launch("printf 'Fcannot open tap0' >&3; exit 1") == .failed(message: "cannot open tap0"))
  }

  @Test("it notices a child that dies without a word") func died() throws {
    #expect(
      try Self.launch("exit 7")
        == .failed(message: "the background process ended with status 7 before it was up"))
    #expect(
      try Self.launch("kill -9 $$")
        == .failed(message: "the background process was killed by signal 9 before it was up"))
  }

  @Test("nothing else the parent has open leaks; output goes to the log") func descriptors() throws {
    let log = NSTemporaryDirectory() + "swiftstack-\(getpid())-detach.log"
    defer { try? FileManager.default.removeItem(atPath: log) }
    let leak = try OwnedDescriptor.pipe()
    // The worst case: a descriptor without close-on-exec.
    #expect(fcntl(leak.first.rawValue, F_SETFD, 0) == 0)
    let number = leak.first.rawValue
    let script = """
      echo out; echo err >&2
      if [ -e /proc/$$/fd/\(number) ] && [ \(number) -gt 3 ]; then printf Fleak >&3; else printf R >&3; fi
      """
    guard case .ready = try Self.launch(script, log: log) else {
      Issue.record("descriptor \(number) leaked")
      return
    }
    #expect(try String(contentsOfFile: log, encoding: .utf8) == "out\nerr\n")
  }

  @Test("a log that cannot be opened is the parent's error") func badLog() {
    let error = #expect(throws: LinuxError.self) {
      try Self.launch("printf R >&3", log: "/no/such/folder/log")
    }
    #expect(error?.description == "cannot open /no/such/folder/log: No such file or directory")
  }

  @Test("the child's end writes the mark and the message, and a foreground process has none") func pipe()
    throws
  {
    let isForeground = try ReadinessPipe.inherited() == nil
    #expect(isForeground)
    let pair = try OwnedDescriptor.pipe()
    ReadinessPipe(pair.second).ready("tap0 is up")
    #expect(try pair.first.read(upTo: 64, subject: "the pipe") == Array("Rtap0 is up".utf8))
    let other = try OwnedDescriptor.pipe()
    ReadinessPipe(other.second).fail("no")
    #expect(try other.first.read(upTo: 64, subject: "the pipe") == Array("Fno".utf8))
  }
}
