import Shard

extension StackChange {
  static func link(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    try words.expect(["set"])
    try words.skipDevice(others: linkWords)
    var link = LinkChange()
    while let name = words.peek {
      words.skip()
      if name != "up" && name != "down" { try words.once(name) }
      switch name {
      case "up": link.isUp = true
      case "down": link.isUp = false
      case "mtu": link.mtu = try ChangeWords.number(try words.next("an MTU"), "mtu", 0...65535)
      case "address":
        link.macAddress = try ChangeWords.station(try words.next("a MAC address"))
      case "arp": link.resolvesAddresses = try onOrOff(name, &words)
      default:
        throw StackError(
          "\"\(name)\" is unknown here: link set takes mtu N, address MAC, arp on|off, up and down")
      }
    }
    guard link != LinkChange() else {
      throw StackError("link set needs mtu N, address MAC, arp on|off, up or down")
    }
    return .setLink(link, on: words.other)
  }

  /// What `ip link set` takes, of which most is Linux's alone: no interface is meant by them.
  private static let linkWords = [
    "up", "down", "mtu", "address", "addrgenmode", "alias", "allmulticast", "arp", "broadcast", "carrier",
    "dynamic",
    "group", "link-netnsid", "lladdr", "master", "mode", "multicast", "name", "netns", "nomaster", "peer",
    "promisc",
    "protodown", "state", "trailers", "txqlen", "txqueuelen", "type", "vf", "xdp",
  ]

  static func nic(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    guard try words.expect(["set", "fault"]) == "set" else { return .commit(try fault(&words)) }
    let list = (NICFeature.allCases.map(\.rawValue) + ["rx-ring", "tx-ring"]).joined(separator: ", ")
    let name = try words.next(list)
    if name == "rx-ring" || name == "tx-ring" {
      let count = try ChangeWords.number(try words.next("descriptors"), name, 0...Int(Int32.max))
      return name == "rx-ring" ? .setRings(receive: count) : .setRings(transmit: count)
    }
    guard let feature = NICFeature(rawValue: name) else {
      throw StackError("feature \"\(name)\" is unknown: there are \(list)")
    }
    return .setFeature(feature, on: try onOrOff(name, &words))
  }

  private static func onOrOff(_ name: String, _ words: inout ChangeWords) throws(StackError) -> Bool {
    let value = try words.next("on or off")
    guard value == "on" || value == "off" else {
      throw StackError("\(name) is on or off, not \"\(value)\"")
    }
    return value == "on"
  }

  private static func fault(_ words: inout ChangeWords) throws(StackError) -> NICFault {
    let list = "stall, drop N%, late-writeback [MS], map-fail [N] or off"
    let name = try words.next(list)
    switch name {
    case "stall": return .stall
    case "off": return .off
    case "drop":
      let text = try words.next("N%")
      guard text.hasSuffix("%") else { throw StackError("drop takes a share such as 10%, not \"\(text)\"") }
      return .drop(percent: try ChangeWords.number(String(text.dropLast()), "drop", 0...100))
    case "late-writeback":
      guard let text = words.peek else { return .lateWriteBack(milliseconds: 10) }
      words.skip()
      return .lateWriteBack(milliseconds: try ChangeWords.number(text, name, 0...60_000))
    case "map-fail":
      guard let text = words.peek else { return .mapFail(count: 1) }
      words.skip()
      return .mapFail(count: try ChangeWords.number(text, name, 0...1_000_000))
    default: throw StackError("fault \"\(name)\" is unknown: \(list)")
    }
  }
}
