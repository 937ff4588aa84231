import IPv4
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
  public mutating func receive(_ input: consuming IPv4Layer.Input, ip: inout IPv4Layer, net: inout Net) {
    switch consume input {
    case .consumed: break
    case .tcp(let skb, let header): tcp.receive(skb, header: header, ip: &ip, net: &net)
    case .udp(let skb, let header):
      let isForMany = ip.isForMany(header.destination)
      switch udp.receive(skb, header: header, isForMany: isForMany, net: &net) {
      case .consumed: break
      case .noSocket(let skb):
        ip.sendICMPError(
          for: skb, reason: .noSocket, kind: .destinationUnreachable, code: ICMPHeader.Unreachable.port,
          info: 0,
          net: &net)
      }
    case .icmp(let skb, let header): ping.receive(skb, header: header, net: &net)
    case .error(let report): error(report, ip: &ip, net: &net)
    }
  }

  /// Gives an error to the socket whose packet caused it.
  public mutating func error(_ report: TransportError, ip: inout IPv4Layer, net: inout Net) {
    switch report.protocol {
    case .tcp: tcp.error(report, ip: &ip, net: &net)
    case .udp: udp.error(report, ip: &ip, net: &net)
    case .icmp: ping.error(report, ip: &ip, net: &net)
    default: break
    }
  }

  /// A timer of kind `.tcp` is due. Datagram sockets have none.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, ip: inout IPv4Layer, net: inout Net) {
    if key.kind == .tcp { tcp.timerExpired(key, due: due, ip: &ip, net: &net) }
  }

  /// Sockets that had stopped until packets were freed go on.
  public mutating func runPending(ip: inout IPv4Layer, net: inout Net) { tcp.runPending(ip: &ip, net: &net) }
}
