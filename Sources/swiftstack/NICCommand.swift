import ArgumentParser
import SwiftStack

struct NICCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nic",
    abstract: "Show the NIC's rings and statistics, as \"ethtool -g\" and \"ethtool -S\" do.")
  @OptionGroup var options: ReportOptions

  private struct Entry: Encodable {
    var ifname: String
    var queue: Int
    var rings: [String: Int]
    var features: [String]
    var statistics: [String: UInt64]
  }

  func run() throws {
    var client = try options.client.connect()
    let nics = try client.table(.nic) { if case .nic(let rows) = $0 { rows } else { nil } }
    if options.json {
      return try JSONOutput.print(
        nics.enumerated().map { queue, nic in
          Entry(
            ifname: nic.device, queue: queue,
            rings: [
              "rx": nic.receiveRing, "tx": nic.transmitRing, "rx-max": nic.maximumRing,
              "tx-max": nic.maximumRing,
            ], features: nic.features,
            statistics: Dictionary(
              nic.statistics.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first }))
        })
    }
    for (queue, nic) in nics.enumerated() {
      let suffix = nics.count > 1 ? " queue \(queue)" : ""
      try StandardOutput.print("Ring parameters for \(nic.device)\(suffix):")
      try StandardOutput.print("Pre-set maximums:\nRX:\t\t\(nic.maximumRing)\nTX:\t\t\(nic.maximumRing)")
      try StandardOutput.print(
        "Current hardware settings:\nRX:\t\t\(nic.receiveRing)\nTX:\t\t\(nic.transmitRing)")
      try StandardOutput.print("Features on: \(nic.features.joined(separator: " "))")
      try StandardOutput.print("NIC statistics:")
      for counter in nic.statistics { try StandardOutput.print("     \(counter.name): \(counter.value)") }
    }
  }
}
