import NetDevice
import Shard
import Tables

/// Linux: `tc qdisc`.
extension Stack {
  /// Gives every queue of an interface this queueing discipline, or other parameters to one of the same kind, whose packets
  /// then stay. What waits in one of another kind is dropped. Each queue has its own, as under `mq`: with several, each has
  /// the whole rate. Linux: `tc qdisc replace`.
  ///
  /// - Parameter device: a further interface, or `nil` for the stack's own.
  /// - Throws: `StackError` with EINVAL at the ingress for one that holds nothing back, ENODEV, EOPNOTSUPP for `lo`, ENETDOWN
  ///   after `close()`.
  public func setQdisc(
    _ configuration: QdiscConfiguration, at place: QdiscPlace = .root, on device: String? = nil
  ) throws(StackError) {
    let device = try withQdisc(device)
    try change("qdisc replace \(place.rawValue) \(configuration.kind.rawValue)") { (state) throws(Errno) in
      let interface = device ?? state.ethernet
      switch place {
      case .root: state.host.link.devices[interface].setQdisc(configuration, net: &state.host.net)
      case .ingress:
        try state.host.link.devices[interface].setIngressQdisc(configuration, net: &state.host.net)
      }
    }
  }

  /// Puts the queueing discipline that the interface came with back, at the ingress none; what waits is dropped.
  /// Linux: `tc qdisc del`.
  ///
  /// - Parameter device: a further interface, or `nil` for the stack's own.
  /// - Throws: `StackError` with ENOENT when it is there already, ENODEV, EOPNOTSUPP for `lo`, ENETDOWN after `close()`.
  public func resetQdisc(
    at place: QdiscPlace = .root, on device: String? = nil
  ) throws(StackError) {
    let device = try withQdisc(device)
    try change("qdisc del \(place.rawValue)") { (state) throws(Errno) in
      let interface = device ?? state.ethernet
      switch place {
      case .root: try state.host.link.devices[interface].resetQdisc(net: &state.host.net)
      case .ingress: try state.host.link.devices[interface].resetIngressQdisc(net: &state.host.net)
      }
    }
  }

  /// - Throws: ENODEV, EOPNOTSUPP.
  private func withQdisc(_ device: String?) throws(StackError) -> InterfaceIndex? {
    let interface = try known(device)
    guard interface != .loopback else {
      throw StackError("lo has no queueing discipline: \(Errno.EOPNOTSUPP)", code: .EOPNOTSUPP)
    }
    return interface
  }
}

extension StackChange {
  static func qdisc(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["replace", "del"])
    try words.skipDevice()
    if words.other == Stack.loopbackName {
      throw StackError("lo has no queueing discipline: Operation not supported", code: .EOPNOTSUPP)
    }
    let places = QdiscPlace.allCases.map(\.rawValue).joined(separator: " or ")
    let word = try words.next(places)
    guard let place = QdiscPlace(rawValue: word) else {
      throw StackError("unknown place \"\(word)\": expected \(places)")
    }
    if verb == "del" { return .removeQdisc(place, on: words.other) }
    let device = words.other
    let configuration: QdiscConfiguration
    do throws(WordError) {
      configuration = try QdiscConfiguration(parsing: words.rest())
    } catch {
      throw StackError(error.description)
    }
    guard place == .root || configuration.kind.isTimed else {
      let timed = QdiscKind.allCases.filter(\.isTimed).map(\.rawValue).joined(separator: " or ")
      throw StackError(
        "\"\(configuration.kind.rawValue)\" cannot stand at the ingress: expected \(timed)")
    }
    return .replaceQdisc(place, configuration, on: device)
  }
}
