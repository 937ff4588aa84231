import IPv4
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Testing
import Wire

/// Writes down what it is asked about, and says what it was told to.
private final class Recorder: HookClient {
  var seen: [String] = []
  var sizes: [Int] = []
  var answers: [Hook: HookVerdict] = [:]
  var name = ""

  func verdict(on packet: borrowing HookPacket) -> HookVerdict {
    seen.append("\(name)\(packet.hook.name) \(packet.inputInterface ?? "")\(packet.outputInterface ?? "")")
    sizes.append(packet.byteCount)
    return answers[packet.hook] ?? .accept
  }
  func take() -> [String] {
    defer { seen = [] }
    return seen
  }
}

private let everywhere: HookSet = [.prerouting, .input, .output, .postrouting]
private let datagram: [UInt8] = [0x13, 0x88, 0, 53, 0, 8, 0, 0]

@Suite struct HookTests {
  private let bench = IPv4Bench()
  private let recorder = Recorder()

  private func watch() { bench.ip.hooks.register(recorder, at: everywhere) }
  private var fragmentable: IPv4SendOptions {
    var options = IPv4SendOptions(protocol: .udp)
    options.pmtuDiscovery = .dont
    return options
  }

  @Test("P4 a packet passes output, then postrouting; one that comes in prerouting, then input")
  func order() {
    watch()
    #expect(bench.send(datagram) == .success)
    let name = "test0"
    #expect(recorder.take() == ["output \(name)", "postrouting \(name)"])
    #expect(bench.packets().count == 1)
    bench.deliver(IPv4Bench.frame(datagram))
    #expect(recorder.take() == ["prerouting \(name)", "input \(name)"])
  }

  @Test("P4 an echo is answered through all four hooks, and what we send to ourselves passes them on lo")
  func echoAndLoopback() {
    watch()
    let name = "test0"
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(8, 0, [1, 2])))
    #expect(
      recorder.take() == ["prerouting \(name)", "input \(name)", "output \(name)", "postrouting \(name)"])
    for own in [IPv4Bench.own, IPv4Address.loopback] {
      #expect(bench.send(datagram, to: own) == .success)
      guard let skb = bench.net.takeBacklog() else {
        Issue.record("nothing came back")
        return
      }
      _ = bench.receive(skb)
      #expect(recorder.take() == ["output lo", "postrouting lo", "prerouting lo", "input lo"])
    }
  }

  @Test("P4 what is fragmented passes the hooks of the way out once, before it is cut")
  func fragmentsOut() {
    watch()
    #expect(bench.send(IPv4Bench.pattern(4000), options: fragmentable) == .success)
    #expect(bench.packets().count == 3)
    #expect(recorder.take().count == 2 && recorder.sizes == [4020, 4020])
  }

  @Test("P4 a datagram that was cut before passes them once, as the whole; dropped, none of it leaves")
  func appendedFragments() {
    watch()
    func send() -> XmitResult {
      var packets = SkBuffQueue()
      packets.append(bench.transport(datagram + IPv4Bench.pattern(1472)))
      packets.append(bench.transport(IPv4Bench.pattern(1480)))
      packets.append(bench.transport(IPv4Bench.pattern(100)))
      var route = bench.route()
      let result = bench.ip.outputDatagram(
        &packets, priority: 0, route: &route, options: fragmentable, link: &bench.link, net: &bench.net)
      let isEmptied = packets.isEmpty
      #expect(isEmptied)
      return result
    }
    #expect(send() == .success)
    #expect(bench.packets().count == 3)
    #expect(recorder.take().count == 2 && recorder.sizes == [3080, 3080])
    recorder.answers[.postrouting] = .drop
    #expect(send() == .failed(.EPERM))
    #expect(bench.packets().isEmpty && bench.pool.dropCount(.netfilterDrop) == 1)
  }

  @Test("P4 fragments that come in pass prerouting one by one, and input once as the whole")
  func fragmentsIn() {
    watch()
    let payload = IPv4Bench.pattern(2000)
    bench.deliver(IPv4Bench.frame(id: 9, fragment: 0x2000, Array(payload[..<1000])))
    bench.deliver(IPv4Bench.frame(id: 9, fragment: 125, Array(payload[1000...])))
    let name = "test0"
    #expect(recorder.take() == ["prerouting \(name)", "prerouting \(name)", "input \(name)"])
    #expect(recorder.sizes == [1020, 1020, 2020])
  }

  @Test("P4 prerouting comes after the checks of the header, and before the look whether it is for us")
  func placeOfPrerouting() {
    watch()
    var bad = IPv4Bench.frame(datagram)
    bad[24] ^= 1
    bench.deliver(bad)
    #expect(recorder.take().isEmpty)
    bench.deliver(IPv4Bench.frame(destination: IPv4Address(10, 0, 0, 77), datagram))
    #expect(recorder.take() == ["prerouting test0"])
  }

  @Test("P4 ARP passes no hook; a broadcast's copy for ourselves passes postrouting by itself")
  func others() {
    watch()
    bench.ip.announceAddresses(link: &bench.link, net: &bench.net)
    #expect(bench.frames().contains { $0[12] == 8 && $0[13] == 6 })
    #expect(recorder.take().isEmpty)
    let name = "test0"
    #expect(bench.send(datagram, to: .broadcast, options: fragmentable) == .success)
    #expect(recorder.take() == ["output \(name)", "postrouting \(name)", "postrouting \(name)"])
    while let skb = bench.net.takeBacklog() { _ = bench.receive(skb) }
    #expect(recorder.take() == ["prerouting \(name)", "input \(name)"])
  }

  @Test(
    "P4 dropped at any hook it ends there, with reason and count; its local sender gets EPERM",
    arguments: [Hook.prerouting, .input, .output, .postrouting])
  func drop(hook: Hook) {
    watch()
    recorder.answers[hook] = .drop
    let isOut = hook == .output || hook == .postrouting
    #expect(bench.send(datagram) == (isOut ? .failed(.EPERM) : .success))
    #expect(bench.packets().count == (isOut ? 0 : 1))
    let outcome = bench.deliver(IPv4Bench.frame(datagram))
    #expect((outcome == .consumed) == !isOut)
    #expect(bench.pool.dropCount(.netfilterDrop) == 1)
    let counts = bench.ip.hooks.counts
    #expect(counts[Int(hook.rawValue)].dropped == 1 && counts[Int(hook.rawValue)].accepted == 0)
    #expect(bench.errors().isEmpty)
    #expect(recorder.seen.count == (hook == .output || hook == .prerouting ? 3 : 4))
  }

  @Test("P4 reject at input tells the sender: administratively prohibited; elsewhere it is drop")
  func reject() {
    watch()
    recorder.answers[.input] = .reject
    bench.deliver(IPv4Bench.frame(datagram))
    let packets = bench.packets()
    #expect(packets.count == 1 && packets[0][9] == 1 && packets[0][20] == 3 && packets[0][21] == 13)
    recorder.answers = [.postrouting: .reject]
    #expect(bench.send(datagram) == .failed(.EPERM))
    #expect(bench.errors().isEmpty)
  }

  @Test(
    "P4 clients are asked by priority, of one the newer first, until one does not accept; none when they are gone"
  )
  func clients() {
    let late = Recorder()
    let early = Recorder()
    let newer = Recorder()
    (late.name, early.name, newer.name) = ("late ", "early ", "newer ")
    bench.ip.hooks.register(late, at: .output, priority: HookPriority.filter)
    bench.ip.hooks.register(early, at: .output, priority: -150)
    bench.ip.hooks.register(newer, at: .output, priority: HookPriority.filter)
    var order: [String] = []
    bench.send(datagram)
    order = early.take() + newer.take() + late.take()
    #expect(order.map { $0.prefix(4) } == ["earl", "newe", "late"])
    early.answers[.output] = .drop
    bench.send(datagram)
    #expect(early.take().count == 1 && newer.take().isEmpty && late.take().isEmpty)
    newer.answers[.output] = .drop
    early.answers = [:]
    bench.send(datagram)
    #expect(newer.take().count == 1 && late.take().isEmpty)
    for client in [late, early, newer] { bench.ip.hooks.unregister(client) }
    let isEmpty = bench.ip.hooks.isEmpty(.output)
    #expect(isEmpty && bench.send(datagram) == .success)
  }
}
