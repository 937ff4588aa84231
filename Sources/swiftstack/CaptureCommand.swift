import ArgumentParser
import Control
import Glibc
import LinuxHost
import SwiftStack

struct CaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture",
    abstract: "Write the stack's frames to a pcapng file for Wireshark, until Ctrl-C.",
    discussion: """
      Each frame's comment says which sk_buff it came from and what was left to the device. How many frames came too \
      fast to be kept is said at the end, and in the file (isb_ifdrop).
      """)
  @Option(
    name: .customShort("c", allowingJoined: true), help: ArgumentHelp("Stop after N frames.", valueName: "n"))
  var count: Int?
  @Option(
    name: .short,
    help: ArgumentHelp("Capture on the stack's interface (default), or on lo.", valueName: "device"))
  var i: String?
  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("The file to write; - is standard output.", valueName: "file.pcapng"))
  var path: String

  func validate() throws {
    if let count, count < 1 { throw ValidationError("-c \(count): the count is at least 1.") }
    if path.isEmpty { throw ValidationError("Name a file, or - for standard output.") }
  }

  func run() throws {
    let interruption = try Interruption()
    try SignalFD.ignoreBrokenPipe()
    var control = try client.connect()
    let file = try openOutput()
    let subject = path == "-" ? "standard output" : path
    try control.send(.capture(CaptureRequest(count: count, device: i)))
    guard case .started = try control.receiveSoon() else { throw ControlError.unexpected("capture") }
    guard let frames = control.takeDescriptor() else {
      throw ControlError("the stack sent no descriptor with its answer")
    }
    StandardError.print("capturing on \(i ?? control.interface) to \(subject)")
    var hasAsked = false
    while true {
      if interruption.step(), !hasAsked {
        control.finish()
        hasAsked = true
      }
      guard OwnedDescriptor.isReady(frames.rawValue, POLLIN, milliseconds: 50) else { continue }
      let bytes = try frames.read(upTo: 1 << 20, subject: "the stack's frames")
      if bytes.isEmpty { break }
      // Whoever read has seen enough.
      guard try put(bytes, file, subject) else { return }
    }
    guard case .captured(let report) = try control.receiveSoon() else {
      throw ControlError.unexpected("capture")
    }
    StandardError.print("\(report.frames) frames captured, \(report.dropped) dropped")
  }

  private func openOutput() throws(LinuxError) -> OwnedDescriptor {
    if path == "-" { return try OwnedDescriptor(owning: 1).duplicateAndRelease() }
    return try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
  }

  /// False when nobody reads standard output any more.
  private func put(
    _ bytes: [UInt8], _ file: borrowing OwnedDescriptor, _ subject: String
  ) throws(LinuxError) -> Bool {
    do throws(LinuxError) {
      try file.writeAll(bytes.rawBytes, subject: subject)
      return true
    } catch {
      if error.code == EPIPE && path == "-" { return false }
      throw error
    }
  }
}
