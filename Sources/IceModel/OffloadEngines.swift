/// Who cuts TSO packets and fills in checksums.
@frozen public enum OffloadEngines: UInt8, Sendable {
  /// The device; every frame on the wire is complete and no longer than the MTU.
  case own
  /// The wire, told how by the metadata: a TAP with `IFF_VNET_HDR` takes a 64 KiB TSO frame in one call.
  case lent
}
