import Neighbour
import Netfilter
import Tables
import Wire

/// Where packets for one destination go: what a socket keeps between sends. Linux: `struct rtable`.
@frozen
public struct Route: Sendable {
  /// What a destination is to us. Linux: `RTN_UNICAST` and so on.
  @frozen
  public enum Kind: UInt8, Sendable {
    case unicast
    /// One of our own addresses, or 127.0.0.0/8.
    case local
    case broadcast
    case multicast
  }
  public var destination: IPv4Address
  /// The source address that the route prefers, or the one that was asked for.
  public var source: IPv4Address
  /// The gateway, or the destination itself.
  public var nextHop: IPv4Address
  public var kind: Kind
  /// The path MTU was below what the stack accepts, so DF is not set. Linux: `rt_mtu_locked`.
  public var isMTULocked: Bool
  /// The device to send by. Linux: `dst->dev`.
  public var interface: InterfaceIndex
  /// Path MTU in bytes of IP packet.
  @Narrow<Int32> public var mtu: Int
  /// MTU of the link alone: what is advertised to the peer, and the limit for `.probe`.
  @Narrow<UInt16> public var linkMTU: Int
  /// The program that packets go through. Linux: `dst->lwtstate`.
  public var tunnel: TunnelID
  /// Compared by `IPv4Layer.isCurrent(_:)`.
  public var generation: UInt32
  public var neighbour: NeighbourHandle
  /// Next identification for packets that carry DF. Linux: `inet_id`.
  public var identification: UInt16
  /// For one of our own addresses: the device that it belongs to. Linux: `rt_iif`.
  public var addressInterface: InterfaceIndex
  /// The device by which answers come in. Linux: `inet_iif()`.
  var answerInterface: InterfaceIndex { kind == .local ? addressInterface : interface }

  /// A route that never is current.
  static var none: Route {
    Route(
      destination: .any, source: .any, nextHop: .any, kind: .unicast, isMTULocked: false, interface: .none,
      mtu: 0, linkMTU: 0, tunnel: .none, generation: 0, neighbour: .none, identification: 0,
      addressInterface: .none)
  }
}
