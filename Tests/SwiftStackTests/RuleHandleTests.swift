import NetNamespace
import SwiftStack
import TestSupport
import Testing

/// Rules have one number in every shard.
@Suite struct RuleHandleTests {
  @Test("P4 filter: a rule that is refused takes no number, so that shards go on counting alike")
  func refused() throws {
    let stack = try FramePeer(queues: 4).host.stack
    #expect {
      try stack.hooks.add(PacketFilter.Rule(.postrouting, .reject))
    } throws: {
      ($0 as? StackError)?.code == .EINVAL
    }
    let handle = try stack.hooks.add(PacketFilter.Rule(.input, .drop))
    #expect(stack.hooks.rules.map(\.handle) == [handle])
    let second = try stack.hooks.add(SendPolicy.Rule(veto: .EPERM))
    #expect(stack.hooks.sendRules.map(\.handle) == [second])
    try stack.hooks.remove(.input, handle: handle)
    #expect(stack.hooks.rules.isEmpty)
  }
}
