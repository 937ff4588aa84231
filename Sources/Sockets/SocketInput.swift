import IPv4
import Internet
import NetNamespace
import SkBuff
import TCP
import Timers
import UDP
import Wire

/// What comes up from IP, and time. Linux: `ip_protocol_deliver_rcu()`.
extension SocketLayer {
  /// Gives IP's answer to the protocol it is for. A datagram for a port that nobody has is answered with an ICMP port
  /// unreachable (RFC 1122 section 4.1.3.1).
  public mutating func receive(_ input: consuming IPv4Layer.Input, host: inout Host) {
    switch consume input {
    case .consumed: break
    case .tcp(let skb, let header): tcp.receive(skb, header: header, host: &host)
    case .udp(let skb, let header):
      let own =
        host.internet.isForMany(header.destination)
        ? host.internet.specificDestination(of: header.source, by: skb.interface) : nil
      let outcome =
        header.protocol == .udpLite
        ? udpLite.receive(skb, header: header, forManyAt: own, net: &host.net)
        : udp.receive(skb, header: header, forManyAt: own, net: &host.net)
      switch consume outcome {
      case .consumed: break
      case .noSocket(let skb):
        host.sendICMPError(
          for: skb, reason: .noSocket, kind: .destinationUnreachable, code: ICMPHeader.Unreachable.port,
          info: 0)
      }
    case .icmp(let skb, let header): ping.receive(skb, header: header, net: &host.net)
    }
  }

  /// Gives an error to the socket whose packet caused it.
  public mutating func error(_ report: TransportError, host: inout Host) {
    switch report.protocol {
    case .tcp: tcp.error(report, host: &host)
    case .udp: udp.error(report, host: &host)
    case .udpLite: udpLite.error(report, host: &host)
    case .icmp: ping.error(report, host: &host)
    // Nobody here sends anything else. Linux: `icmp_socket_deliver()` without a handler.
    default: break
    }
  }

  /// A timer of kind `.tcp` is due. Datagram sockets have none.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, host: inout Host) {
    if key.kind == .tcp { tcp.timerExpired(key, due: due, host: &host) }
  }

  /// Sockets that had stopped until packets were freed go on.
  public mutating func runPending(host: inout Host) {
    tcp.runPending(host: &host)
    if host.net.pool.hasCompleted { tellCompleted(net: &host.net) }
    if host.net.pool.hasStamps { tellStamps(net: &host.net) }
  }

  /// Gives the times of packets to the sockets that asked for them.
  private mutating func tellStamps(net: inout Net) {
    for stamp in net.pool.takeStamps() {
      var stamp = stamp
      var id = SocketID(rawValue: stamp.socket, generation: stamp.generation)
      if stamp.generation == 0 { id = holder(of: id) }
      let time = net.timeOfDay(at: stamp.time)
      let wantsStatistics = try? withCore(id) { (core) throws(Errno) in
        core.timestamping.contains(.statistics)
      }
      if wantsStatistics == true && id.kind == .tcp && stamp.statistics.isEmpty {
        stamp.statistics = tcp.stampStatistics(of: stamp, id, now: net.now)
      }
      let isTold = try? withCore(id) { (core) throws(Errno) in core.queueStamp(stamp, time: time) }
      if isTold == true { net.wake(id) }
    }
  }

  /// The socket that has a number now.
  private func holder(of id: SocketID) -> SocketID {
    switch id.kind {
    case .tcp: tcp.holder(of: id)
    case .udp: udp.table.holder(of: id)
    case .ping: ping.table.holder(of: id)
    case .udpLite: udpLite.table.holder(of: id)
    case nil: id
    }
  }

  /// Tells the owners of memory that was lent to packets, all of which have ended.
  public mutating func tellCompleted(net: inout Net) {
    while let notification = net.pool.takeCompleted() {
      guard !notification.isCallers else {
        notification.tellOwner()
        continue
      }
      let id = SocketID(rawValue: notification.socket, generation: notification.generation)
      let isTold = try? withCore(id) { (core) throws(Errno) in core.complete(notification) }
      if isTold == true { net.wake(id) }
    }
  }
}
