import Control
import SwiftStack

/// The lines that `up` prints: what is up, who is who, what to try next.
struct Greeting {
  let text: String

  init(_ stack: StackReport, services: Bool, offload: String) {
    let host = stack.hostAddress ?? "no address"
    let stackAddress = Self.bare(stack.address)
    let hostBare = Self.bare(host)
    var lines = [
      "\(stack.interface) is up: MTU \(stack.mtu), \(stack.queues) queue\(stack.queues == 1 ? "" : "s"), \(offload)",
      "  Linux is \(host)",
      "  the stack is \(stack.address), \(stack.macAddress)"
        + (services ? ", with echo 7, discard 9, daytime 13 and chargen 19 on TCP and UDP" : ""),
      "Try, from another shell:",
      "  ping -c3 \(stackAddress)",
    ]
    if services { lines.append("  echo hi | nc -N \(stackAddress) 7") }
    lines.append("  sudo swiftstack ping -c3 \(hostBare)")
    lines.append("  sudo swiftstack ss")
    text = lines.joined(separator: "\n")
  }

  private static func bare(_ address: String) -> String {
    String(address.prefix { $0 != "/" })
  }
}
