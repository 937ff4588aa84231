import NetNamespace
import Wire

/// A port that `bind()` or `listen()` asks for, and how it would be shared.
public struct PortWish: Sendable {
  var address: SocketAddress
  var reuseAddress: Bool
  var reusePort: Bool
}
