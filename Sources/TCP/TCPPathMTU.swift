import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Wire

// Probing for the path MTU. Linux: `tcp_mtu_probe()` and around it.
extension TCPSender {
  /// IP and TCP headers without options.
  private static let headerByteCount = IPv4Header.minimumByteCount + TCPHeader.minimumByteCount

  /// The packet that a segment makes, at most the longest there is: `tcp_base_mss` may be anything. Linux: `tcp_mss_to_mtu()`.
  ///
  /// - Parameter fixedOptions: bytes of the options that every segment has.
  private func packetSize(payload: Int, fixedOptions: Int) -> Int {
    min(payload + fixedOptions + Int(networkOptionByteCount) + Self.headerByteCount, Int(UInt16.max))
  }

  /// What the peer takes, and what is known to be too long already, as our own device's: Linux looks at the peer alone, and
  /// would cut such a probe into fragments.
  private var longestPacket: Int { min(peerMSS + Self.headerByteCount, mssPathMTU > 0 ? mssPathMTU : .max) }

  /// Linux: `tcp_mtup_init()`.
  mutating func beginPathMTUSearch(fixedOptions: Int, net: borrowing Net) {
    pathMTU = PathMTUSearch()
    pathMTU.isOn = net.settings.tcpMTUProbing > 1
    pathMTU.high = longestPacket
    pathMTU.low = packetSize(payload: net.settings.tcpBaseMSS, fixedOptions: fixedOptions)
    if pathMTU.isOn { pathMTU.since = net.now }
  }

  /// The size of the next probe, of its payload; `nil`: none is due. Linux: the first part of `tcp_mtu_probe()`.
  mutating func pathMTUProbeSize(mss: Int, fixedOptions: Int, net: borrowing Net) -> Int? {
    guard pathMTU.probe == 0, recovery.state == .open, window.segments > CongestionWindow.initialSegments
    else { return nil }
    let size = segmentSize(packet: (pathMTU.high + pathMTU.low) >> 1) - fixedOptions
    let most = segmentSize(packet: pathMTU.high) - fixedOptions
    if size > most || pathMTU.high - pathMTU.low < net.settings.tcpProbeThreshold {
      searchAgain(mss: mss, fixedOptions: fixedOptions, net: net)
      return nil
    }
    return size
  }

  /// What the path takes may have grown since. Linux: `tcp_mtu_check_reprobe()`.
  private mutating func searchAgain(mss: Int, fixedOptions: Int, net: borrowing Net) {
    guard net.now - pathMTU.since >= net.settings.tcpProbeInterval else { return }
    pathMTU.probe = 0
    pathMTU.high = longestPacket
    pathMTU.low = packetSize(payload: mss, fixedOptions: fixedOptions)
    pathMTU.since = net.now
  }

  /// Whether so much waits, and the windows take the probe with what will tell its loss from a late arrival.
  func readiness(forProbe size: Int) -> PathMTUProbeReadiness {
    let needed = size + (recovery.reordering + 1) * mssCache
    guard unsentByteCount >= needed, sndWnd >= needed else { return .notNow }
    if (sndNxt + needed).isAfter(windowEnd) { return .soon }
    if inFlight + 2 > window.segments { return inFlight == 0 ? .notNow : .soon }
    return .ready
  }

  /// Makes the first packet that waits `size` bytes long.
  ///
  /// - Returns: false when it cannot be: the end of a record lies in it, or memory or fragment slots are missing.
  mutating func gatherProbe(_ size: Int, mss: Int) -> Bool {
    guard let head = writeQueue.first else { return false }
    while writeQueue.length(at: head) < size {
      let missing = size - writeQueue.length(at: head)
      guard growUnsent(head, by: missing) > 0 else { return false }
    }
    return writeQueue.length(at: head) == size || splitUnsent(head, at: size, mss: mss)
  }

  /// The first packet of the queue has left as a probe.
  mutating func pathMTUProbeSent(_ block: TCPControlBlock, payload: Int, fixedOptions: Int) {
    // It counts as one segment and takes the place of two.
    window.segments -= 1
    pathMTU.probe = packetSize(payload: payload, fixedOptions: fixedOptions)
    pathMTU.start = block.sequence
    pathMTU.end = block.endSequence
  }

  /// The path takes so much. The window is one of bytes, and stays as large. Linux: `tcp_mtup_probe_success()`.
  mutating func pathMTUProbeArrived(net: inout Net) {
    let before =
      mssCache + Int(segmentOptionByteCount) + Int(networkOptionByteCount) + Self.headerByteCount
    window.segments = max(1, window.segments * before / pathMTU.probe)
    window.clearFraction()
    window.threshold = currentThreshold
    pathMTU.low = pathMTU.probe
    pathMTU.probe = 0
    syncMSS(mtu: mssPathMTU)
    net.counters.count(.TcpExtTCPMTUPSuccess)
  }

  /// What came behind it has arrived, and the probe has not. Linux: `tcp_mtup_probe_failed()`.
  mutating func pathMTUProbeLost(net: inout Net) {
    pathMTU.high = pathMTU.probe - 1
    pathMTU.probe = 0
    window.segments += 1
    net.counters.count(.TcpExtTCPMTUPFail)
  }

  /// Nothing gets through: perhaps because packets are too large for a path that tells nobody. Linux: `tcp_mtu_probing()`.
  mutating func suspectPathMTU(fixedOptions: Int, net: borrowing Net) {
    guard net.settings.tcpMTUProbing > 0 else { return }
    if !pathMTU.isOn {
      pathMTU.isOn = true
      pathMTU.since = net.now
    } else {
      let half = (segmentSize(packet: pathMTU.low) - fixedOptions) >> 1
      let size = max(min(net.settings.tcpBaseMSS, half), net.settings.tcpMTUProbeFloor, Self.leastSegmentSize)
      pathMTU.low = packetSize(payload: size, fixedOptions: fixedOptions)
    }
    syncMSS(mtu: mssPathMTU)
  }
}

extension TCPConnection {
  /// Sends a longer segment than the path is known to take, when one is due and may go. Linux: `tcp_mtu_probe()`.
  ///
  /// - Returns: `.soon`: what else there is has to wait; `.ready`: it has gone.
  mutating func probePathMTU(mss: Int, host: inout Host) -> PathMTUProbeReadiness {
    let fixed = fixedOptionByteCount
    // Blocks in the header would make the size another.
    guard receiver.sack.isEmpty,
      let size = sender.pathMTUProbeSize(mss: mss, fixedOptions: fixed, net: host.net)
    else { return .notNow }
    let readiness = sender.readiness(forProbe: size)
    guard case .ready = readiness else { return readiness }
    guard !mustAwaitDeparture(now: host.net.now), sender.gatherProbe(size, mss: mss),
      let head = sender.writeQueue.first
    else { return .notNow }
    let block = sender.writeQueue[tcp: head]
    guard !sendHead(head, mss: size, isProbe: true, host: &host).isLost else { return .notNow }
    sender.pathMTUProbeSent(block, payload: size, fixedOptions: fixed)
    return .ready
  }
}
