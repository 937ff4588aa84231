import LinuxHost
import SwiftStack
import Testing
import Wire

/// The arguments of `up`: what they become, and what is said about wrong ones.
@Suite struct StackPlanTests {
  @Test("defaults")
  func defaults() throws {
    let plan = try StackPlan(interface: "tap0")
    #expect("\(plan.stack.address)" == "10.0.0.2/24")
    #expect(plan.tap.hostAddress.map { "\($0)" } == "10.0.0.1/24")
    #expect(plan.stack.macAddress.isLocal && plan.stack.macAddress.isValidStation)
    #expect(plan.stack.mtu == 1500 && plan.tap.queues == 1 && plan.tap.offload)
  }

  @Test("one address given, the other is picked beside it")
  func completed() throws {
    let first = try StackPlan(interface: "tap0", address: "192.168.9.1/30")
    #expect(first.tap.hostAddress.map { "\($0)" } == "192.168.9.2/30")
    let second = try StackPlan(interface: "tap0", hostAddress: "192.168.9.1/24")
    #expect("\(second.stack.address)" == "192.168.9.2/24")
    let pair = try StackPlan(interface: "tap0", address: "10.9.9.0/31")
    #expect(pair.tap.hostAddress.map { "\($0)" } == "10.9.9.1/31")
  }

  struct Mistake: Sendable, CustomTestStringConvertible {
    var says: String
    var plan: @Sendable () throws -> StackPlan
    var testDescription: String { says }
  }
  static let mistakes = [
    Mistake(says: "16") { try StackPlan(interface: "sixteen-bytes-xx") },
    Mistake(says: "tap/0") { try StackPlan(interface: "tap/0") },
    Mistake(says: "10.0.0.256/24") { try StackPlan(interface: "t", address: "10.0.0.256/24") },
    Mistake(says: "10.0.0.2/33") { try StackPlan(interface: "t", address: "10.0.0.2/33") },
    Mistake(says: "10.0.0.0/24") { try StackPlan(interface: "t", address: "10.0.0.0/24") },
    Mistake(says: "10.0.0.255/24") { try StackPlan(interface: "t", address: "10.0.0.255/24") },
    Mistake(says: "224.0.0.1/24") { try StackPlan(interface: "t", address: "224.0.0.1/24") },
    Mistake(says: "both 10.0.0.1") {
      try StackPlan(interface: "t", address: "10.0.0.1/24", hostAddress: "10.0.0.1/24")
    },
    Mistake(says: "not in one network") {
      try StackPlan(interface: "t", address: "10.0.0.1/24", hostAddress: "10.1.0.1/24")
    },
    Mistake(says: "MTU 67") { try StackPlan(interface: "t", mtu: 67) },
    Mistake(says: "MTU 70000") { try StackPlan(interface: "t", mtu: 70000) },
    Mistake(says: "ring size 7") { try StackPlan(interface: "t", ring: 7) },
    Mistake(says: "ring size 100") { try StackPlan(interface: "t", ring: 100) },
    Mistake(says: "--queues 0") { try StackPlan(interface: "t", queues: 0) },
    Mistake(says: "--mac 02:00") { try StackPlan(interface: "t", mac: "02:00") },
    Mistake(says: "01:00:5e:00:00:01") { try StackPlan(interface: "t", mac: "01:00:5e:00:00:01") },
    Mistake(says: "--gateway 10.0") { try StackPlan(interface: "t", gateway: "10.0") },
    Mistake(says: "192.0.2.1") { try StackPlan(interface: "t", gateway: "192.0.2.1") },
  ]

  @Test("a mistake is named with its value", arguments: mistakes)
  func mistake(_ mistake: Mistake) {
    #expect {
      _ = try mistake.plan()
    } throws: { error in
      "\(error)".contains(mistake.says)
    }
  }
}
