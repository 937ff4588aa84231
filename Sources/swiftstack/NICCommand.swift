import ArgumentParser
import SwiftStack

struct NICCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nic",
    abstract:
      "Show the NIC's rings and statistics, as \"ethtool -g\" and \"ethtool -S\" do, or change what it does.",
    discussion: """
      nic [set tso | gro | sg | tx-checksum | tx-udp-segmentation on | off]
      nic [set rx-ring | tx-ring N]
      nic [fault stall | drop N% | late-writeback [MS] | map-fail [N] | off]
      """)
  @Argument(parsing: .allUnrecognized, help: "set or fault, and what.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  private struct Entry: Encodable {
    var ifname: String
    var queue: Int
    var rings: [String: Int]
    var features: [String]
    var requested: [String]
    var faults: [String]
    var statistics: [String: UInt64]
  }

  func run() throws {
    if !words.isEmpty { return try options.change("nic", words) }
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
            ], features: nic.features, requested: nic.requestedFeatures, faults: nic.faults,
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
      if !nic.requestedFeatures.isEmpty {
        try StandardOutput.print(
          "Features off [requested on]: \(nic.requestedFeatures.joined(separator: " "))")
      }
      if !nic.faults.isEmpty { try StandardOutput.print("Faults: \(nic.faults.joined(separator: ", "))") }
      try StandardOutput.print("NIC statistics:")
      for counter in nic.statistics { try StandardOutput.print("     \(counter.name): \(counter.value)") }
    }
  }
}
