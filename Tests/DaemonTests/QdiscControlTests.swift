import Testing

@testable import Control
@testable import Daemon
@testable import SwiftStack

/// Queueing disciplines over the control socket.
@Suite struct QdiscControlTests {
  private func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

  @Test("qdisc: the control request sets, refuses with a sentence, and goes back")
  func control() throws {
    let harness = try ControlServerTests.Harness("qdisc")
    var client = try harness.client()
    let stack = harness.simulated.stack
    guard
      case .done = try client.ask(
        .change(words("qdisc replace root tbf rate 10mbit burst 10kb latency 50ms")))
    else {
      Issue.record("the request was not done")
      return
    }
    #expect(stack.qdiscReports.map(\.options) == ["rate 10Mbit burst 10Kb lat 50ms"])
    #expect(
      throws: ControlError("tbf: \"burst\" is missing: expected a size such as 10kb")
    ) { try client.ask(.change(words("qdisc replace root tbf rate 10mbit latency 50ms"))) }
    #expect(stack.qdiscReports.map(\.kind) == ["tbf"])
    _ = try client.ask(.change(["qdisc", "del", "root"]))
    #expect(stack.qdiscReports.map(\.kind) == ["pfifo_fast"])
    #expect(throws: ControlError.self) { try client.ask(.change(["qdisc", "del", "root"])) }
    #expect(throws: ControlError("\"noqueue\" cannot stand at the ingress: expected tbf or netem")) {
      try client.ask(.change(["qdisc", "replace", "ingress", "noqueue"]))
    }
    _ = try client.ask(.change(["qdisc", "replace", "ingress", "netem", "delay", "1ms"]))
    #expect(stack.qdiscReports.map(\.options).last == "limit 1000 delay 1ms")
    _ = try client.ask(.change(["qdisc", "del", "ingress"]))
    #expect(stack.qdiscReports.count == 1)
  }
}
