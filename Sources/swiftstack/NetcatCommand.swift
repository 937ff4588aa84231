import ArgumentParser
import Control
import LinuxHost
import SwiftStack

struct NetcatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nc", abstract: "Connect standard input and output to a socket of the stack, as nc(1) does.",
    discussion: """
      At the end of standard input the stack's side sends its FIN; what the peer still sends is printed until it \
      closes too. With -u every read is a datagram, and -w ends a silent conversation.
      """)

  @Flag(name: .customShort("u"), help: "UDP instead of TCP.") var isUDP = false
  @Flag(name: .customShort("l"), help: "Listen, and take one connection.") var listens = false
  @Flag(name: .customShort("v"), help: "Say on standard error what happens.") var isVerbose = false
  @Option(
    name: .customShort("w", allowingJoined: true),
    help: ArgumentHelp("Give up after so long without a connection or data.", valueName: "sec"))
  var wait: Double?
  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("[HOST] PORT", valueName: "host port")) var target: [String] = []

  func validate() throws {
    if let wait, !(wait.isFinite && wait > 0 && wait <= 86400) {
      throw ValidationError("-w \(wait): the time is above 0 and at most 86400 seconds.")
    }
    switch (listens, target.count) {
    case (false, 2), (true, 1): break
    case (false, _): throw ValidationError("Name a host and a port, or -l and a port.")
    case (true, _): throw ValidationError("-l takes a port and no host.")
    }
    guard let port = UInt16(target[target.count - 1]), port > 0 else {
      throw ValidationError("\"\(target[target.count - 1])\" is not a port: 1 to 65535.")
    }
  }

  func run() throws {
    guard let portText = target.last, let port = UInt16(portText) else {
      throw ValidationError("Name a port, 1 to 65535.")
    }
    try SignalFD.ignoreBrokenPipe()
    var control = try client.connect()
    let host = listens ? nil : "\(try HostName.resolve(target[0]))"
    try control.send(
      .nc(NetcatRequest(host: host, port: port, isUDP: isUDP, timeout: wait)))
    var peer = ""
    // The first answer comes at once; the connection may take its time.
    var answer = try control.receiveSoon()
    connecting: while true {
      switch answer {
      case .started: break
      case .listening(let port): if isVerbose { StandardError.print("Listening on 0.0.0.0 \(port)") }
      case .connected(let address):
        peer = address
        break connecting
      default: throw ControlError.unexpected("nc")
      }
      answer = try control.receive()
    }
    guard let socket = control.takeDescriptor() else {
      throw ControlError("the stack sent no descriptor with its answer")
    }
    if isVerbose {
      let kind = isUDP ? "udp" : "tcp"
      StandardError.print(
        listens
          ? "Connection received on \(peer)"
          : "Connection to \(host ?? "") \(port) port [\(kind)/*] succeeded!")
    }
    try NetcatRelay(socket: socket, isUDP: isUDP, idleSeconds: wait).run(control: &control)
  }
}
