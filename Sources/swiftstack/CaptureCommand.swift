import ArgumentParser
import FoundationEssentials
import LinuxHost
import SwiftStack

struct CaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture",
    abstract: "Write the stack's frames to a pcapng file for Wireshark, until Ctrl-C.",
    discussion: "Each frame's comment says which sk_buff it came from and what was left to the device.")
  @Option(
    name: .customShort("c", allowingJoined: true), help: ArgumentHelp("Stop after N frames.", valueName: "n"))
  var count: Int?
  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("The file to write.", valueName: "file.pcapng")) var path: String

  func run() throws {
    let signals = try SignalFD([.interrupt, .terminate])
    var control = try client.connect()
    var writer = try PcapngWriter(path: path, interfaceNames: [control.interface])
    try control.send(.capture(CaptureRequest()))
    var written = 0
    loop: while signals.next() == nil, written < count ?? .max {
      guard let answer = try control.receiveIfReady(milliseconds: 50) else {
        try writer.flush()
        continue
      }
      switch answer {
      case .frames(let frames):
        for frame in frames where written < count ?? .max {
          guard let bytes = Data(base64Encoded: frame.bytes) else { throw ControlError.unexpected("capture") }
          try writer.write(
            [UInt8](bytes), timestamp: frame.time, direction: frame.isOutgoing ? .outbound : .inbound,
            originalByteCount: frame.originalByteCount, comment: frame.comment)
          written += 1
        }
      case .started: StandardError.print("capturing on \(control.interface) to \(path)")
      case .done: break loop
      default: throw ControlError.unexpected("capture")
      }
    }
    try writer.close()
    StandardError.print("\(written) frames captured")
  }
}
