import LinuxHost
import Shard

/// The arguments of `up`, checked and completed. Nothing has been touched yet.
public struct StackPlan: Sendable {
  /// The stack's side.
  public var stack: StackConfiguration
  /// Linux's side.
  public var tap: TapParameters

  /// - Throws: `LinuxError` or `StackError` naming the argument, its value and what to do.
  public init(
    interface: String, address: String? = nil, hostAddress: String? = nil, gateway: String? = nil,
    mac: String? = nil, mtu: Int = 1500, queues: Int = 1, netns: String? = nil, services: Bool = true,
    ring: Int? = nil, links: [String] = [], offload: Bool = true, probesAddress: Bool = false
  ) throws {
    let name = try InterfaceName(interface)
    let own = try address.map { text throws(StackError) in try Self.prefix(text, "--address") }
    let host = try hostAddress.map { text throws(StackError) in try Self.prefix(text, "--host-address") }
    let pair = try Self.pair(own, host)
    var configuration = StackConfiguration(
      name: name.text, address: pair.own, macAddress: try Self.macAddress(mac, of: name, netns), mtu: mtu,
      ring: ring)
    if let gateway {
      guard let hop = IPv4Address(gateway) else {
        throw StackError("--gateway \(gateway) is not an IPv4 address such as 10.0.0.1")
      }
      configuration.gateway = hop
    }
    configuration.services = services
    configuration.links = try links.map { text throws in try Self.link(text) }
    configuration.probesAddress = probesAddress
    try configuration.validate()
    guard (1...64).contains(queues) else {
      throw StackError("--queues \(queues) is out of range: 1 to 64")
    }
    stack = configuration
    tap = TapParameters(
      interface: name, hostAddress: pair.host, namespace: netns, queues: queues, offload: offload)
  }

  private static func prefix(_ text: String, _ option: String) throws(StackError) -> IPv4Prefix {
    guard let prefix = IPv4Prefix(text) else {
      throw StackError("\(option) \(text) is not an address with its prefix length such as 10.0.0.2/24")
    }
    return prefix
  }

  /// `NAME,address=CIDR[,host-address=CIDR][,netns=NAME][,mtu=N][,mac=MAC]`
  private static func link(_ text: String) throws -> LinkConfiguration {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let name = try InterfaceName(parts[0])
    var values: [String: String] = [:]
    for part in parts.dropFirst() {
      let word = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard word.count == 2, ["address", "host-address", "netns", "mtu", "mac"].contains(word[0]),
        values.updateValue(word[1], forKey: word[0]) == nil
      else {
        throw StackError(
          "--link \(text): \"\(part)\" is not one of address=, host-address=, netns=, mtu= and mac=, each once"
        )
      }
    }
    guard let address = values["address"] else {
      throw StackError("--link \(text) needs an address, such as \(name),address=10.1.0.2/24")
    }
    let ends = try Self.pair(
      try prefix(address, "address of \(name)"),
      try values["host-address"].map { value throws(StackError) in
        try prefix(value, "host-address of \(name)")
      })
    var link = LinkConfiguration(
      name: name.text, address: ends.own,
      macAddress: try macAddress(values["mac"], of: name, values["netns"]),
      hostAddress: ends.host, namespace: values["netns"])
    if let mtu = values["mtu"] {
      guard let value = Int(mtu) else { throw StackError("--link \(text): mtu \(mtu) is not a number") }
      link.mtu = value
    }
    return link
  }

  private static func macAddress(
    _ text: String?, of interface: InterfaceName, _ namespace: String?
  ) throws(StackError) -> MACAddress {
    guard let text else { return StationAddress.stable(interface: interface, namespace: namespace) }
    guard let address = MACAddress(text) else {
      throw StackError("--mac \(text) is not a MAC address such as 02:00:00:00:00:02")
    }
    return address
  }

  /// Two addresses of one network; one that is not given is picked beside the other.
  private static func pair(
    _ own: IPv4Prefix?, _ host: IPv4Prefix?
  ) throws(StackError) -> (own: IPv4Prefix, host: IPv4Prefix) {
    let pair: (own: IPv4Prefix, host: IPv4Prefix)
    switch (own, host) {
    case (nil, nil): pair = (StackConfiguration.defaultAddress, StackConfiguration.defaultHostAddress)
    case (let own?, nil): pair = (own, try neighbour(of: own, "--host-address"))
    case (nil, let host?): pair = (try neighbour(of: host, "--address"), host)
    case (let own?, let host?): pair = (own, host)
    }
    try StackConfiguration.checkHost(pair.own, "--address")
    try StackConfiguration.checkHost(pair.host, "--host-address")
    guard pair.own.address != pair.host.address else {
      throw StackError("--address and --host-address are both \(pair.own.address); give each side its own")
    }
    guard pair.own.contains(pair.host.address), pair.host.contains(pair.own.address) else {
      throw StackError(
        "--address \(pair.own) and --host-address \(pair.host) are not in one network, so that the two sides "
          + "could not reach each other")
    }
    return pair
  }

  private static func neighbour(of prefix: IPv4Prefix, _ option: String) throws(StackError) -> IPv4Prefix {
    let first = prefix.length == 31 ? prefix.network.rawValue : prefix.network.rawValue &+ 1
    let candidates = [first, first &+ 1]
    guard prefix.length <= 31,
      let pick = candidates.first(where: { $0 != prefix.address.rawValue && prefix.contains(IPv4Address($0)) }
      ),
      let other = IPv4Prefix(IPv4Address(pick), length: prefix.length)
    else { throw StackError("\(prefix) has no room for a second address; give \(option) too") }
    return other
  }
}
