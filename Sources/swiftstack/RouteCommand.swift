import ArgumentParser
import SwiftStack

struct RouteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "route", abstract: "Show or change the stack's routes, as \"ip route\" does.",
    discussion: """
      route [show] [table TABLE|all] [dev IFNAME]
      route add | replace [TYPE] PREFIX [via GATEWAY] [dev IFNAME] [src ADDRESS] [metric N] [mtu N]
        [table TABLE] [nexthop [via GATEWAY] [dev IFNAME] [weight N]]...
      route del [TYPE] PREFIX [via GATEWAY] [dev IFNAME] [metric N] [table TABLE]
        [nexthop ...]...
      Of several next hops each flow gets one, by their weights, 1 to 256.
      TYPE: unicast, blackhole (senders get EINVAL), unreachable (EHOSTUNREACH), prohibit (EACCES)
      """)
  @Argument(parsing: .allUnrecognized, help: "add, replace or del, and the route.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  /// As `ip -json route`.
  private struct Entry: Encodable {
    var type: String
    var dst: String
    var gateway: String?
    var dev: String?
    var scope: String
    var prefsrc: String?
    var metric: Int?
    var metrics: [[String: Int]]?
    var nexthops: [Hop]?
    var encap: String?
    var program: String?
  }
  private struct Hop: Encodable {
    var gateway: String?
    var dev: String
    var weight: Int
    var flags: [String]
    var encap: String?
    var program: String?
  }

  func run() throws {
    var words = self.words
    let table = try Self.takeTable(&words)
    guard let shown = try ShownDevice(words, takesName: false) else {
      return try options.change("route", words)
    }
    var client = try options.client.connect()
    let all = try client.table(.route) { if case .route(let rows) = $0 { rows } else { nil } }
    let wanted = all.filter { table == "all" || $0.table == (table == "main" ? nil : table) }
    let routes = try shown.rows(wanted, of: &client) { $0.device }
    if options.json {
      return try JSONOutput.print(
        routes.map {
          Entry(
            type: $0.kind, dst: $0.destination, gateway: $0.gateway, dev: $0.device, scope: $0.scope,
            prefsrc: $0.source, metric: $0.metric == 0 ? nil : $0.metric,
            metrics: $0.mtu.map { [["mtu": $0]] },
            nexthops: $0.nextHops?.map {
              Hop(
                gateway: $0.gateway, dev: $0.device, weight: $0.weight,
                flags: $0.isDead ? ["dead", "linkdown"] : [], encap: $0.tunnel.map { _ in "program" },
                program: $0.tunnel)
            }, encap: $0.tunnel.map { _ in "program" }, program: $0.tunnel)
        })
    }
    for route in routes {
      try StandardOutput.print(line(route) + (table == "all" ? route.table.map { " table \($0)" } ?? "" : ""))
      for hop in route.nextHops ?? [] { try StandardOutput.print(line(hop)) }
    }
  }

  /// Takes `table TABLE` out of what is to be shown.
  ///
  /// - Returns: the table's name; `nil` for a change, and `main` where none was said.
  private static func takeTable(_ words: inout [String]) throws -> String? {
    if let first = words.first, !["show", "list", "table", "dev"].contains(first) { return nil }
    guard let place = words.firstIndex(of: "table") else { return "main" }
    guard place + 1 < words.count else {
      throw ValidationError("\"table\" needs a table's number or name, or all")
    }
    let name = words[place + 1]
    words.removeSubrange(place...place + 1)
    if name == "all" { return name }
    guard let number = RoutingTableName.number(name) else {
      throw ValidationError("argument \"\(name)\" is wrong: table id value is invalid")
    }
    return RoutingTableName.text(number)
  }

  private func line(_ route: RouteReport) -> String {
    var text = route.kind == "unicast" ? route.destination : "\(route.kind) \(route.destination)"
    if let tunnel = route.tunnel { text += " encap program \(tunnel)" }
    if let gateway = route.gateway { text += " via \(gateway)" }
    if let device = route.device { text += " dev \(device)" }
    if route.scope != "global" { text += " scope \(route.scope)" }
    if let source = route.source { text += " src \(source)" }
    if route.metric != 0 { text += " metric \(route.metric)" }
    if let mtu = route.mtu { text += " mtu \(mtu)" }
    return text
  }

  private func line(_ hop: NextHopReport) -> String {
    "\tnexthop" + (hop.tunnel.map { " encap program \($0)" } ?? "") + (hop.gateway.map { " via \($0)" } ?? "")
      + " dev \(hop.device) weight \(hop.weight)"
      + (hop.isDead ? " dead linkdown" : "")
  }
}
