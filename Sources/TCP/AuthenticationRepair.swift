/// Where the numbers of 64 bits of a connection with TCP-AO stand, beside what the other options of repair tell: of what it
/// sends at the first byte that is not acknowledged, of what it receives at the next one expected.
/// Linux: `struct tcp_ao_repair`.
public struct AuthenticationRepair: Equatable, Sendable {
  /// The numbers of both SYNs.
  public var localInitial: UInt32
  public var remoteInitial: UInt32
  /// The upper halves.
  public var sentExtension: UInt32
  public var receivedExtension: UInt32

  public init(
    localInitial: UInt32, remoteInitial: UInt32, sentExtension: UInt32, receivedExtension: UInt32
  ) {
    self.localInitial = localInitial
    self.remoteInitial = remoteInitial
    self.sentExtension = sentExtension
    self.receivedExtension = receivedExtension
  }
}
