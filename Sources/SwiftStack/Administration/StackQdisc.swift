import NetDevice
import Shard
import Tables

/// Linux: `tc qdisc`.
extension Stack {
  /// Gives every queue of the interface this queueing discipline, or other parameters to one of the same kind, whose packets
  /// then stay. What waits in one of another kind is dropped. Each queue has its own, as under `mq`: with several, each has
  /// the whole rate. Linux: `tc qdisc replace`.
  ///
  /// - Throws: `StackError` with EINVAL at the ingress for one that holds nothing back, ENETDOWN after `close()`.
  public func setQdisc(
    _ configuration: QdiscConfiguration, at place: QdiscPlace = .root
  ) throws(StackError) {
    try change("qdisc replace \(place.rawValue) \(configuration.kind.rawValue)") { (state) throws(Errno) in
      switch place {
      case .root: state.host.link.devices[state.ethernet].setQdisc(configuration, net: &state.host.net)
      case .ingress:
        try state.host.link.devices[state.ethernet].setIngressQdisc(configuration, net: &state.host.net)
      }
    }
  }

  /// Puts the queueing discipline that the interface came with back, at the ingress none; what waits is dropped.
  /// Linux: `tc qdisc del`.
  ///
  /// - Throws: `StackError` with ENOENT when it is there already, ENETDOWN after `close()`.
  public func resetQdisc(at place: QdiscPlace = .root) throws(StackError) {
    try change("qdisc del \(place.rawValue)") { (state) throws(Errno) in
      switch place {
      case .root: try state.host.link.devices[state.ethernet].resetQdisc(net: &state.host.net)
      case .ingress: try state.host.link.devices[state.ethernet].resetIngressQdisc(net: &state.host.net)
      }
    }
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
    if verb == "del" { return .removeQdisc(place) }
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
    return .replaceQdisc(place, configuration)
  }
}
