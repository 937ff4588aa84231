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

      Values are written as for tc(8): 10mbit, 10kb, 50ms. Each queue has its own: with 4 queues a rate is up to 4 times \
      that in all, as under mq.
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
    /// `nil` where there is one only.
    var queue: Int?
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
    let queues = Self.queues(of: qdiscs)
    if options.json {
      return try JSONOutput.print(
        zip(qdiscs, queues).map { qdisc, queue in
          Entry(
            kind: qdisc.kind, handle: qdisc.handle, dev: qdisc.device, place: qdisc.place, queue: queue,
            options: qdisc.options,
            bytes: qdisc.sentBytes,
            packets: qdisc.sentPackets, drops: qdisc.dropped, overlimits: qdisc.overlimits,
            requeues: qdisc.requeues,
            backlog: qdisc.backlogBytes, qlen: qdisc.backlogPackets, bqlLimit: qdisc.limit,
            bqlInFlight: qdisc.inFlight)
        })
    }
    for (qdisc, queue) in zip(qdiscs, queues) {
      try StandardOutput.print(
        """
        qdisc \(qdisc.kind) \(qdisc.handle) dev \(qdisc.device) \(qdisc.place)\(queue.map { " queue \($0)" } ?? "") refcnt 2\(qdisc.options.isEmpty ? "" : " ")\(qdisc.options)
         Sent \(qdisc.sentBytes) bytes \(qdisc.sentPackets) pkt (dropped \(qdisc.dropped), \
        overlimits \(qdisc.overlimits) requeues \(qdisc.requeues))
         backlog \(qdisc.backlogBytes)b \(qdisc.backlogPackets)p requeues \(qdisc.requeues)
        """)
      if qdisc.place == "root" {
        try StandardOutput.print(" bql limit \(qdisc.limit)b inflight \(qdisc.inFlight)b")
      }
    }
  }

  /// The queue that each belongs to; `nil` where there is one only. They come in the order of the queues.
  private static func queues(of qdiscs: [QdiscReport]) -> [Int?] {
    var counts: [String: Int] = [:]
    let numbers = qdiscs.map { qdisc in
      defer { counts[qdisc.place, default: 0] += 1 }
      return counts[qdisc.place, default: 0]
    }
    return zip(qdiscs, numbers).map { counts[$0.place] == 1 ? nil : $1 }
  }
}
