import IceModel
import NetDevice
import Shard

/// What `ip link set` changes; `nil`: not changed.
public struct LinkChange: Equatable, Sendable {
  /// Bytes of the largest IP packet, 68 to 9702. More than the NIC was opened for opens it anew: what is on its rings is lost.
  public var mtu: Int?
  /// Whether packets come and go. Linux: `IFF_UP`.
  public var isUp: Bool?
  /// The station address.
  public var macAddress: MACAddress?
  /// Whether neighbours are asked for their station addresses; if not, frames go to the interface's own. Linux: not
  /// `IFF_NOARP`.
  public var resolvesAddresses: Bool?

  public init(
    mtu: Int? = nil, isUp: Bool? = nil, macAddress: MACAddress? = nil, resolvesAddresses: Bool? = nil
  ) {
    self.resolvesAddresses = resolvesAddresses
    self.mtu = mtu
    self.isUp = isUp
    self.macAddress = macAddress
  }
}

/// What the NIC does, or software: `ethtool -K`. There is no switch for segmentation in software (`gso`): TCP has it always,
/// as in Linux.
public enum NICFeature: String, Equatable, Sendable, CaseIterable {
  /// TCP segmentation.
  case tso
  /// Transmit checksums; all else that is sent needs them.
  case txChecksum = "tx-checksum"
  /// Packets in several pieces; segmentation needs it.
  case scatterGather = "sg"
  /// UDP segmentation.
  case udpSegmentation = "tx-udp-segmentation"
  /// Received segments of a flow are put together, in software. What the TAP delivers in one piece stays in one.
  case gro

  var bit: DeviceFeatures {
    switch self {
    case .tso: .tsoV4
    case .txChecksum: .checksum
    case .scatterGather: .scatterGather
    case .udpSegmentation: .udpSegmentation
    case .gro: .gro
    }
  }
}

/// A fault that the NIC commits from now on, beside those it commits already.
public enum NICFault: Equatable, Sendable {
  /// Nothing is sent.
  case stall
  /// So many of a hundred frames are lost, 0 to 100.
  case drop(percent: Int)
  /// Completions come so many milliseconds late, 0 to 60,000.
  case lateWriteBack(milliseconds: Int)
  /// The next so many mappings of memory for the NIC fail.
  case mapFail(count: Int)
  /// None any more.
  case off
}

extension FaultInjection {
  /// The faults in the command's words.
  var words: [String] {
    var list: [String] = []
    if isTransmitStalled { list.append("stall") }
    if dropPercent > 0 { list.append("drop \(dropPercent)%") }
    if writeBackDelay > .zero { list.append("late-writeback \(writeBackDelay.milliseconds)") }
    return list
  }
}
