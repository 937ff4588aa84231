import SkBuff
import Testing

@Suite struct SocketAccountTests {
  @Test("B4 truesize is charged until the packet ends; a clone is not charged")
  func charge() {
    let bench = PoolBench()
    let account = SocketAccount(pool: bench.pool, socket: 7)
    do {
      var skb = bench.packet(linear: 100, fragments: [1000])
      skb.chargeWrite(to: account, socket: 7)
      #expect(account.writeAllocated == skb.truesize && skb.socket == 7)
      let twin = skb.clone()!
      _ = consume skb
      #expect(account.writeAllocated == 0 && twin.length == 1100)
      var received = bench.packet(linear: 10)
      received.chargeReceive(to: account)
      #expect(account.receiveAllocated == received.truesize)
      received.orphan()
      #expect(account.receiveAllocated == 0)
    }
    #expect(account.writeAllocated == 0)
  }

  @Test("B4 what was charged is given back, even if the packet's truesize has changed since")
  func changed() {
    let bench = PoolBench()
    let account = SocketAccount(pool: bench.pool, socket: 1)
    do {
      var skb = bench.packet(linear: 100, fragments: [2000])
      skb.chargeWrite(to: account, socket: 1)
      var rest = skb.split(at: 600, headroom: 0)!
      rest.chargeWrite(to: account, socket: 1)
      _ = skb.linearize()
    }
    #expect(account.writeAllocated == 0)
  }

  @Test("B4 a charge can be handed to another packet")
  func move() {
    let bench = PoolBench()
    let account = SocketAccount(pool: bench.pool, socket: 1)
    var other = bench.packet(linear: 10)
    var charged = 0
    do {
      var skb = bench.packet(linear: 100, fragments: [2000])
      skb.chargeWrite(to: account, socket: 1)
      charged = skb.truesize
      skb.moveOwner(to: &other)
    }
    #expect(account.writeAllocated == charged)
    _ = consume other
    #expect(account.writeAllocated == 0)
  }

  @Test("B4 a throttled socket is reported once when a packet of its ends; a socket that is gone is not")
  func throttled() {
    let bench = PoolBench()
    let account = SocketAccount(pool: bench.pool, socket: 42)
    var first = bench.packet(linear: 1)
    var second = bench.packet(linear: 1)
    var third = bench.packet(linear: 1)
    first.chargeWrite(to: account, socket: 42)
    second.chargeWrite(to: account, socket: 42)
    third.chargeWrite(to: account, socket: 42)
    _ = consume first
    #expect(bench.pool.takePending() == nil)
    account.isThrottled = true
    _ = consume second
    _ = consume third
    #expect(bench.pool.takePending() == 42)
    #expect(bench.pool.takePending() == nil)

    var orphan = bench.packet(linear: 1)
    do {
      let gone = SocketAccount(pool: bench.pool, socket: 43)
      gone.isThrottled = true
      orphan.chargeWrite(to: gone, socket: 43)
    }
    _ = consume orphan
    #expect(bench.pool.takePending() == nil)
  }
}
