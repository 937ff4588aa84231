import IPv4
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// Everything below the transports, in one value with disjoint parts: what a TCP connection or a datagram socket sends
/// through and is told by. RFC 1122's host without its transport and application layers; Linux: `struct net` with the
/// devices and tables that hang from it.
///
/// Passed `inout` as one parameter; whoever needs only one part takes that part (`net: &host.net`). No part owns or
/// calls another one: what a part needs of its neighbours comes in as a parameter.
public struct Host: ~Copyable {
  /// The time, the timers, packet memory, settings, counters, entropy.
  public var net: Net
  /// The internet layer: addresses, routes, output, input, ICMP.
  public var internet: IPv4Layer

  public init(net: consuming Net, internet: consuming IPv4Layer) {
    self.net = net
    self.internet = internet
  }

  /// A packet that a device delivered, its data at the network header. Linux: `netif_receive_skb()`.
  ///
  /// - Returns: what the transports are to do with it.
  public mutating func receive(_ skb: consuming SkBuff) -> IPv4Layer.Input {
    internet.receive(skb, net: &net)
  }

  /// Takes in what the devices received, and gives back what they sent.
  ///
  /// - Parameter queue: where received packets are added.
  /// - Returns: whether there is more to do, without waiting for an interrupt.
  public mutating func poll(into queue: inout SkBuffQueue) -> Bool {
    internet.device.poll(into: &queue, net: &net)
  }

  /// Sends what waits in the queueing disciplines. Linux: `net_tx_action()`.
  public mutating func runQdisc() { internet.device.runQdisc(net: &net) }

  /// Makes an address ours, with a route to its prefix. Linux: `inet_insert_ifa()`.
  ///
  /// - Throws: EINVAL for an address that no host may have, EEXIST when it is ours already.
  public mutating func addAddress(_ prefix: IPv4Prefix) throws(Errno) {
    try internet.addAddress(prefix, net: &net)
  }

  /// Linux: `fib_table_insert()`.
  ///
  /// - Throws: EINVAL, ENETUNREACH for a gateway that is not on a link, EEXIST.
  public mutating func addRoute(_ entry: RouteEntry) throws(Errno) { try internet.addRoute(entry, net: &net) }

  /// Linux: `fib_table_delete()`.
  ///
  /// - Throws: ESRCH when there is no such route.
  public mutating func removeRoute(_ prefix: IPv4Prefix, metric: UInt32? = nil) throws(Errno) {
    try internet.removeRoute(prefix, metric: metric, net: &net)
  }

  /// Gives back what timers and queues still hold. The transports were closed before.
  public mutating func close() { internet.close(net: &net) }
}
