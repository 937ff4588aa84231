import ArgumentParser
import SwiftStack

struct QdiscCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qdisc",
    abstract: """
      Show or change the stack's queueing disciplines, as "tc -s qdisc" does, with the device's byte queue limit.
      """,
    discussion: QdiscKind.allCases.map { "qdisc replace root \($0.usage)\n" }.joined() + """
      qdisc del root|ingress

      "ingress" in place of "root" is for what comes in: \
      \(QdiscKind.allCases.filter(\.isTimed).map(\.rawValue).joined(separator: " or ")).

      Values are written as for tc(8): 10mbit, 10kb, 50ms. Each queue has its own.
      """)
  @Argument(parsing: .allUnrecognized, help: "replace or del, where, and which with its parameters.")
  var words: [String] = []
  @OptionGroup var options: ReportOptions

  /// As `tc -s -json qdisc`.
  private struct Entry: Encodable {
    var kind: String
    var handle: String
    var dev: String
    var place: String
    var options: String
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
    if !words.isEmpty { return try options.change("qdisc", words) }
    var client = try options.client.connect()
    let qdiscs = try client.table(.qdisc) { if case .qdisc(let rows) = $0 { rows } else { nil } }
    if options.json {
      return try JSONOutput.print(
        qdiscs.map {
          Entry(
            kind: $0.kind, handle: $0.handle, dev: $0.device, place: $0.place, options: $0.options,
            bytes: $0.sentBytes,
            packets: $0.sentPackets, drops: $0.dropped, overlimits: $0.overlimits, requeues: $0.requeues,
            backlog: $0.backlogBytes, qlen: $0.backlogPackets, bqlLimit: $0.limit,
            bqlInFlight: $0.inFlight)
        })
    }
    for qdisc in qdiscs {
      try StandardOutput.print(
        """
        qdisc \(qdisc.kind) \(qdisc.handle) dev \(qdisc.device) \(qdisc.place) refcnt 2\(qdisc.options.isEmpty ? "" : " ")\(qdisc.options)
         Sent \(qdisc.sentBytes) bytes \(qdisc.sentPackets) pkt (dropped \(qdisc.dropped), \
        overlimits \(qdisc.overlimits) requeues \(qdisc.requeues))
         backlog \(qdisc.backlogBytes)b \(qdisc.backlogPackets)p requeues \(qdisc.requeues)
        """)
      if qdisc.place == "root" {
        try StandardOutput.print(" bql limit \(qdisc.limit)b inflight \(qdisc.inFlight)b")
      }
    }
  }
}
