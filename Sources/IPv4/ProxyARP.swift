import Neighbour
import NetDevice
import NetNamespace
import Timers
import Wire

/// Answers in the name of others. Linux: `struct pneigh_entry`, and the queue of `struct neigh_table`.
struct ARPProxies {
  /// An address that is behind another interface, and the interface where it is asked for.
  struct Entry: Hashable {
    var address: IPv4Address
    var interface: InterfaceIndex
  }
  /// An answer that waits, so that the address's owner, if he is there, answers first.
  struct Answer {
    var request: ARPPacket
    var interface: InterfaceIndex
    var due: Instant
  }
  static let limit = 1024
  private(set) var entries: Set<Entry> = []
  private(set) var answers: [Answer] = []
  var timer = TimerSlot()

  /// - Throws: ENOBUFS.
  mutating func add(_ entry: Entry) throws(Errno) {
    guard entries.count < Self.limit || entries.contains(entry) else { throw .ENOBUFS }
    entries.insert(entry)
  }

  /// - Throws: ENOENT.
  mutating func remove(_ entry: Entry) throws(Errno) {
    guard entries.remove(entry) != nil else { throw .ENOENT }
  }

  func has(_ address: IPv4Address, on interface: InterfaceIndex) -> Bool {
    !entries.isEmpty && entries.contains(Entry(address: address, interface: interface))
  }

  /// Linux: `pneigh_enqueue()`. False: too many wait.
  mutating func delay(_ answer: Answer, limit: Int) -> Bool {
    guard answers.count <= limit else { return false }
    answers.append(answer)
    return true
  }

  mutating func takeDue(now: Instant) -> Answer? {
    guard let index = answers.firstIndex(where: { $0.due <= now }) else { return nil }
    return answers.remove(at: index)
  }

  var next: Instant? { answers.map(\.due).min() }
}

/// Proxy ARP (RFC 1027). Linux: the forwarding part of `arp_process()`.
extension IPv4Layer {
  /// - Throws: ENOBUFS. Linux: `pneigh_create()`.
  public mutating func addProxy(
    for address: IPv4Address, on interface: InterfaceIndex
  ) throws(Errno) {
    try proxies.add(ARPProxies.Entry(address: address, interface: interface))
  }

  /// - Throws: ENOENT when there is none. Linux: `pneigh_delete()`.
  public mutating func removeProxy(
    for address: IPv4Address, on interface: InterfaceIndex
  ) throws(Errno) {
    try proxies.remove(ARPProxies.Entry(address: address, interface: interface))
  }

  /// Whether a router answers for an address: it is behind another interface, and either all such are answered for or this
  /// one. Linux: `arp_fwd_proxy()`, `pneigh_lookup()`.
  func isProxied(_ request: ARPPacket, on interface: InterfaceIndex, net: borrowing Net) -> Bool {
    let target = request.targetAddress
    let key = RouteKey(
      destination: target, source: request.senderAddress, inputInterface: interface)
    // A broadcast address of another link is no host's.
    guard net.settings.forwards, net.settings.proxyARP || proxies.has(target, on: interface),
      local.lookup(target) == nil, let way = findRoute(key), way.kind == .unicast
    else { return false }
    return way.interface != interface
  }

  /// Answers a request in another's name, at once to who asks us alone, else a moment later.
  mutating func replyAsProxy(
    to request: ARPPacket, wasSentToUs: Bool, on interface: InterfaceIndex, link: inout LinkLayer,
    net: inout Net
  ) {
    link.neighbours.update(
      IPAddress(request.senderAddress), hardwareAddress: request.senderMAC, state: .stale, override: true,
      create: isOnLink(request.senderAddress, interface), device: &link.devices[interface], net: &net)
    let delay = net.settings.neighbours.proxyDelay
    guard !wasSentToUs, delay > .zero else {
      return reply(to: request, on: interface, link: &link, net: &net)
    }
    let wait = Nanoseconds(Int64(net.random.next(below: 1 << 20)) * (delay.rawValue >> 20))
    let answer = ARPProxies.Answer(request: request, interface: interface, due: net.now + wait)
    if proxies.delay(answer, limit: net.settings.neighbours.proxyQueueLength) { armProxies(net: &net) }
  }

  private mutating func armProxies(net: inout Net) {
    guard let next = proxies.next else { return }
    proxies.timer.arm(TimerKey(kind: .neighbour, id: Self.proxyTimerID), at: next, in: &net.timers)
  }

  /// Linux: `neigh_proxy_process()`.
  mutating func proxyTimer(due: Instant, link: inout LinkLayer, net: inout Net) {
    guard proxies.timer.expire(at: due) else { return }
    while let answer = proxies.takeDue(now: net.now) {
      // The routes may have changed meanwhile.
      guard isProxied(answer.request, on: answer.interface, net: net) else { continue }
      reply(to: answer.request, on: answer.interface, link: &link, net: &net)
    }
    armProxies(net: &net)
  }
}
