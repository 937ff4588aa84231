import ArgumentParser
import SwiftStack

struct QdiscCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qdisc",
    abstract:
      "Show the stack's queueing disciplines, as \"tc -s qdisc\" does, and the device's byte queue limit.")
  @OptionGroup var options: ReportOptions

  /// As `tc -s -json qdisc`.
  private struct Entry: Encodable {
    var kind: String
    var handle = "0:"
    var dev: String
    var root = true
    var bytes: UInt64
    var packets: UInt64
    var drops: UInt64
    var overlimits: UInt64
    var requeues: UInt64
    var backlog: UInt64
    var qlen: UInt64
    var bqlLimit: UInt64
    var bqlInFlight: UInt64
  }

  func run() throws {
    var client = try options.client.connect()
    let qdiscs = try client.table(.qdisc) { if case .qdisc(let rows) = $0 { rows } else { nil } }
    if options.json {
      return try JSONOutput.print(
        qdiscs.map {
          Entry(
            kind: $0.kind, dev: $0.device, bytes: $0.sentBytes, packets: $0.sentPackets, drops: $0.dropped,
            overlimits: $0.overlimits, requeues: $0.requeues, backlog: $0.backlogBytes,
            qlen: $0.backlogPackets, bqlLimit: $0.limit, bqlInFlight: $0.inFlight)
        })
    }
    for qdisc in qdiscs {
      try StandardOutput.print(
        """
        qdisc \(qdisc.kind) 0: dev \(qdisc.device) root refcnt 2\(Self.options(of: qdisc.kind))
         Sent \(qdisc.sentBytes) bytes \(qdisc.sentPackets) pkt (dropped \(qdisc.dropped), \
        overlimits \(qdisc.overlimits) requeues \(qdisc.requeues))
         backlog \(qdisc.backlogBytes)b \(qdisc.backlogPackets)p requeues \(qdisc.requeues)
         bql limit \(qdisc.limit)b inflight \(qdisc.inFlight)b
        """)
    }
  }

  private static func options(of kind: String) -> String {
    kind == "pfifo_fast" ? " bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1" : ""
  }
}
