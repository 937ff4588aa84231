import NetNamespace
import Netfilter
import Sockets
import Tables
import Testing

/// Rules in nft's words.
@Suite struct FilterWordsTests {
  private func words(_ text: String) -> Words { Words(text.split(separator: " ").map(String.init)) }

  @Test(
    "P4 filter: a rule's words come back as nft prints them",
    arguments: [
      ("input", "drop", "counter packets 0 bytes 0 drop"),
      (
        "input", "iifname tap0 ip saddr 10.0.0.0/24 tcp dport 22 reject",
        "iifname \"tap0\" ip saddr 10.0.0.0/24 tcp dport 22 counter packets 0 bytes 0 reject"
      ),
      (
        "output", "oifname lo ip daddr 10.0.0.1 udp sport 1000-1999 counter accept",
        "oifname \"lo\" ip daddr 10.0.0.1 udp sport 1000-1999 counter packets 0 bytes 0 accept"
      ),
      ("prerouting", "ip protocol icmp drop", "ip protocol icmp counter packets 0 bytes 0 drop"),
      (
        "postrouting", "daddr 10.0.0.1/32 ip protocol 47 drop",
        "ip daddr 10.0.0.1 ip protocol 47 counter packets 0 bytes 0 drop"
      ),
      (
        "input", "tcp sport 1 tcp dport 2-3 drop",
        "tcp sport 1 tcp dport 2-3 counter packets 0 bytes 0 drop"
      ),
      (
        "forward", "iifname a oifname b icmp type echo-request meta mark 1 ct state related,new accept",
        "iifname \"a\" oifname \"b\" icmp type echo-request meta mark 0x00000001 ct state new,related "
          + "counter packets 0 bytes 0 accept"
      ),
      ("output", "meta mark set 0x10", "counter packets 0 bytes 0 meta mark set 0x00000010"),
      (
        "prerouting", "meta mark 1/0xff meta mark set 2 accept",
        "meta mark 0x00000001/0xff counter packets 0 bytes 0 meta mark set 0x00000002 accept"
      ),
      (
        "prerouting", "ct mark 1/0xff ct state new ct mark set 7",
        "ct state new ct mark 0x00000001/0xff counter packets 0 bytes 0 ct mark set 0x00000007"
      ),
      (
        "input", "ct mark 0x10 meta mark set ct mark drop",
        "ct mark 0x00000010 counter packets 0 bytes 0 meta mark set ct mark drop"
      ),
      ("output", "ct mark set meta mark", "counter packets 0 bytes 0 ct mark set meta mark"),
      (
        "forward", "reject with icmp type port-unreachable",
        "counter packets 0 bytes 0 reject with icmp type port-unreachable"
      ),
      (
        "input", "tcp dport 1 reject with tcp reset",
        "tcp dport 1 counter packets 0 bytes 0 reject with tcp reset"
      ),
      (
        "postrouting", "udp dport 1 snat to 10.0.0.1-10.0.0.9:5-7",
        "udp dport 1 counter packets 0 bytes 0 snat to 10.0.0.1-10.0.0.9:5-7"
      ),
      ("output", "dnat to 10.0.0.1", "counter packets 0 bytes 0 dnat to 10.0.0.1"),
      ("postrouting", "masquerade", "counter packets 0 bytes 0 masquerade"),
      (
        "postrouting", "tcp dport 1 masquerade to :5-9",
        "tcp dport 1 counter packets 0 bytes 0 masquerade to :5-9"
      ),
      (
        "prerouting", "tcp dport 1 redirect to :8080",
        "tcp dport 1 counter packets 0 bytes 0 redirect to :8080"
      ),
    ])
  func rules(hook: String, _ text: String, _ printed: String) throws {
    var rest = words(text)
    let rule = try PacketFilter.Rule(try #require(Hook(name: hook)), parsing: &rest)
    #expect("\(rule)" == printed)
  }

  @Test(
    "P4 filter: a bad word is named, with what is expected there",
    arguments: [
      ("input", "", "a verdict is missing: expected accept, drop or reject"),
      ("input", "tcp dport 22", "a verdict is missing: expected accept, drop or reject"),
      (
        "input", "saddr 10.0.0.300 drop",
        "illegal value for \"saddr\": \"10.0.0.300\": expected an address or a network"
      ),
      ("input", "saddr 10.0.0.1/24 drop", "illegal value for \"saddr\": \"10.0.0.1/24\""),
      ("input", "tcp port 5 drop", "illegal value for \"tcp\": \"port\": expected sport or dport"),
      (
        "input", "tcp dport 9-5 drop",
        "illegal value for \"tcp dport\": \"9-5\": expected a port or a range of them"
      ),
      ("input", "tcp dport 65536 drop", "illegal value for \"tcp dport\""),
      ("input", "tcp dport 5-6-7 drop", "illegal value for \"tcp dport\""),
      ("input", "tcp dport 5 udp sport 5 drop", "a packet cannot be both tcp and udp"),
      ("input", "oifname tap0 drop", "\"oifname\" cannot match at input: a packet there comes in"),
      ("output", "iifname tap0 drop", "\"iifname\" cannot match at output: a packet there goes out"),
      ("prerouting", "reject", "\"reject\" cannot stand at prerouting: expected accept or drop"),
      ("input", "masquerade", "\"masquerade\" cannot stand at input: expected accept, drop or reject"),
      ("postrouting", "dnat to 10.0.0.1", "\"dnat\" cannot stand at postrouting"),
      ("output", "snat to 10.0.0.1", "\"snat\" cannot stand at output"),
      ("forward", "redirect", "\"redirect\" cannot stand at forward"),
      ("postrouting", "snat to 10.0.0.1:80", "\"snat\" with ports is for tcp, udp and icmp: say which"),
      ("postrouting", "snat to 10.0.0.9-10.0.0.1", "illegal value for \"snat to\""),
      ("postrouting", "snat to :80", "illegal value for \"snat to\""),
      ("prerouting", "tcp dport 1 redirect to 10.0.0.1:80", "illegal value for \"redirect to\""),
      ("input", "reject with tcp reset", "\"reject with tcp reset\" is for TCP"),
      (
        "input", "reject with icmp type echo",
        "illegal value for \"icmp\": \"echo\": expected net-unreachable"
      ),
      ("input", "ct state old drop", "illegal value for \"ct state\": \"old\""),
      ("input", "ct status 1 drop", "illegal value for \"ct\": \"status\": expected state or mark"),
      ("input", "ct mark 0xg drop", "illegal value for \"ct mark\": \"0xg\""),
      (
        "input", "ct mark set ct mark",
        "illegal value for \"ct mark set\": \"ct\": expected a number, such as 1 or 0x1, or meta mark"
      ),
      ("input", "meta mark set meta mark", "illegal value for \"mark set\": \"meta\""),
      ("input", "meta mark set ct state", "illegal value for \"ct\": \"state\": expected mark"),
      (
        "input", "meta mark set 1 ct mark set 2 accept",
        "a rule sets the packet's mark or its connection's: say two rules"
      ),
      ("input", "ct mark set 2 meta mark set 1", "a rule sets the packet's mark or its connection's"),
      ("input", "ct mark 1", "a verdict is missing"),
      ("input", "meta mark 0xg drop", "illegal value for \"mark\": \"0xg\""),
      ("input", "icmp type 256 drop", "illegal value for \"icmp type\": \"256\""),
      ("input", "drop now", "nothing follows \"drop\", there is \"now\""),
      ("input", "marks 5 drop", "unknown word \"marks\": expected iifname, oifname, ip saddr"),
    ])
  func bad(hook: String, _ text: String, _ sentence: String) throws {
    var rest = words(text)
    do throws(WordError) {
      _ = try PacketFilter.Rule(Hook(name: hook) ?? .input, parsing: &rest)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.description.hasPrefix(sentence), "\(error)")
    }
  }

  @Test(
    "S2 send rules: words come back as they were meant, bad ones are named",
    arguments: [
      (
        "ip daddr 10.0.0.0/24 udp dport 53 reject with EACCES",
        "ip daddr 10.0.0.0/24 udp dport 53 counter sends 0 reject with EACCES"
      ),
      ("ip protocol icmp reject", "ip protocol icmp counter sends 0 reject with EPERM"),
      ("length 1000-2000 accept", "length 1000-2000 counter sends 0 accept"),
      ("reject with EFOO", "illegal value for \"with\": \"EFOO\": expected one of EPERM, EACCES"),
      ("drop", "unknown word \"drop\""),
      ("tcp sport 5 accept", "illegal value for \"tcp\": \"sport\": expected dport"),
      ("length 5-1 accept", "illegal value for \"length\""), ("udp dport 5", "a verdict is missing"),
      ("reject at once", "expected \"with\" rather than \"at\""), ("accept it", "nothing follows \"accept\""),
    ])
  func sends(text: String, _ printed: String) {
    var rest = words(text)
    do throws(WordError) {
      #expect("\(try SendPolicy.Rule(parsing: &rest))" == printed)
    } catch {
      #expect(error.description.hasPrefix(printed), "\(error)")
    }
  }

  @Test(
    "P4 filter: what is printed can be said again; what counts is not taken over",
    arguments: [
      "iifname \"tap0\" ip saddr 10.0.0.0/24 tcp sport 1 tcp dport 22-23 counter packets 3 bytes 180 reject",
      "counter packets 3 bytes 180 drop", "ip protocol 47 accept", "counter accept",
    ])
  func again(text: String) throws {
    var rest = words(text)
    let rule = try PacketFilter.Rule(.input, parsing: &rest)
    #expect(rule.packetCount == 0 && rule.byteCount == 0)
    #expect(rule.inputInterface == (text.contains("tap0") ? "tap0" : nil))
    var printed = words("\(rule)")
    #expect(try PacketFilter.Rule(.input, parsing: &printed) == rule)
    var send = words("ip daddr 10.0.0.0/24 udp dport 53 length 5 counter sends 7 reject with EACCES")
    let policy = try SendPolicy.Rule(parsing: &send)
    var printedSend = words("\(policy)")
    #expect(policy.sendCount == 0)
    #expect(try SendPolicy.Rule(parsing: &printedSend) == policy)
    #expect("\(policy)".contains("length 5 "))
  }

  @Test(
    "P4 filter: what is said twice, or not of a header, does not quietly mean something else",
    arguments: [
      ("tcp dport 22 tcp dport 80 drop", "duplicate \"tcp dport\""),
      ("ip saddr 10.0.0.1 ip saddr 10.0.0.2 drop", "duplicate \"ip saddr\""),
      ("daddr 10.0.0.1 ip daddr 10.0.0.2 drop", "duplicate \"ip daddr\""),
      ("iifname tap0 iif lo drop", "duplicate \"iifname\""),
      ("ip accept", "illegal value for \"ip\": \"accept\": expected saddr, daddr or protocol"),
      ("ip tcp dport 5 drop", "illegal value for \"ip\": \"tcp\""),
      ("ip", "\"ip\" needs a value: expected saddr, daddr or protocol"),
      ("counter packets many drop", "illegal value for \"packets\": \"many\": expected a number"),
    ])
  func twice(text: String, sentence: String) {
    var rest = words(text)
    do throws(WordError) {
      _ = try PacketFilter.Rule(.input, parsing: &rest)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.description.hasPrefix(sentence), "\(error)")
    }
  }

  @Test(
    "S2 send rules: what is said twice, or of two protocols, is refused",
    arguments: [
      ("tcp dport 80 udp dport 90 reject", "a send cannot be both tcp and udp"),
      ("ip protocol tcp udp dport 80 reject", "a send cannot be both tcp and udp"),
      ("ip protocol icmp ip protocol tcp reject", "a send cannot be both icmp and tcp"),
      ("tcp dport 80 tcp dport 90 reject", "duplicate \"tcp dport\""),
      ("length 5 length 6 reject", "duplicate \"length\""),
      ("ip daddr 10.0.0.1 daddr 10.0.0.2 reject", "duplicate \"ip daddr\""),
      ("ip reject", "illegal value for \"ip\": \"reject\": expected daddr or protocol"),
    ])
  func twiceSent(text: String, sentence: String) {
    var rest = words(text)
    do throws(WordError) {
      _ = try SendPolicy.Rule(parsing: &rest)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.description.hasPrefix(sentence), "\(error)")
    }
  }

  @Test("P4 filter: rules that cannot be are EINVAL, handles that are not there ENOENT")
  func errors() throws {
    let filter = PacketFilter()
    var ports = PacketFilter.Rule(.input, .drop)
    ports.destinationPorts = 5...5
    var way = PacketFilter.Rule(.postrouting, .drop)
    way.inputInterface = "tap0"
    for rule in [ports, way, PacketFilter.Rule(.postrouting, .reject)] {
      #expect(throws: Errno.EINVAL) { try filter.append(rule, handle: 1) }
    }
    try filter.append(PacketFilter.Rule(.input, .drop), handle: 1)
    #expect(throws: Errno.ENOENT) { try filter.remove(.output, handle: 1) }
    #expect(throws: Errno.ENOENT) { try filter.remove(.input, handle: 2) }
    #expect(filter.hooks == .input)
    try filter.remove(.input, handle: 1)
    #expect(filter.hooks.isEmpty)
  }
}
