import CLinux

/// What the reader of a TAP accepts unfinished: `TUNSETOFFLOAD` bits. The writing direction needs
/// no permission; the kernel finishes whatever the virtio-net header asks for.
public struct TapOffloads: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// TUN_F_CSUM: checksums may be partial. All others need it.
  public static let checksum = TapOffloads(rawValue: UInt32(TUN_F_CSUM))
  /// TUN_F_TSO4: TCP over IPv4 frames up to 64 KiB.
  public static let tso4 = TapOffloads(rawValue: UInt32(TUN_F_TSO4))
  /// TUN_F_TSO_ECN: such frames may carry CWR.
  public static let tsoECN = TapOffloads(rawValue: UInt32(TUN_F_TSO_ECN))
  /// TUN_F_USO4, Linux 6.2.
  public static let uso4 = TapOffloads(rawValue: UInt32(TUN_F_USO4))
  /// TUN_F_USO6, Linux 6.2.
  public static let uso6 = TapOffloads(rawValue: UInt32(TUN_F_USO6))

  /// What the receive side undoes: NEEDS_CSUM (the stack trusts or finishes it), TCP super-segments with and without CWR
  /// (taken whole), UDP super-datagrams (cut apart by the device). IPv6 frames are nobody's here; the kernel takes USO6
  /// only together with USO4.
  public static let undone: TapOffloads = [.checksum, .tso4, .tsoECN, .uso4, .uso6]
}
