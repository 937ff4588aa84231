import IceModel
import InetSocket
import NetDevice
import NetNamespace
import Shard
import Sockets
import TCP
import Timers
import UAPI
import Wire

/// One connection of a `SizeCell` over a link that is fast and loses nothing: every segment is looked at, and how much of the link is
/// payload is measured in virtual time.
public final class SizeRun {
  /// 10 Gbit/s: 800 picoseconds a byte.
  private static let picosecondsPerByte = 800
  private static let delay = Nanoseconds.microseconds(50)
  /// A NIC tells of what has come in the last so many nanoseconds at once.
  private static let moderation: UInt64 = 20_000
  private static let port: UInt16 = 9000

  private let cell: SizeCell
  private let hosts: [SimulatedShard]
  private var links = [Link(), Link()]
  private var now = Simulation.beginning
  private var sender = SocketID.none
  private var listener = SocketID.none
  private var receiver: SocketID?
  private var room = [UInt8](repeating: 0, count: Pattern.period)
  /// The MSS that each side's SYN has asked for.
  private var asked: [Int?] = [nil, nil]
  private var received = 0
  private var result = SizeResult()

  /// The frames of a direction that are on their way, one behind the other in memory that is used again.
  private struct Link {
    struct Flight {
      var arrival: Instant
      var start: Int
      var count: Int
      var metadata: WireFrameMetadata
    }
    var storage: [UInt8] = []
    var flights: [Flight] = []
    var first = 0
    var freeAt = 0

    /// Once most of what is kept has been delivered, so that a byte is seldom moved twice.
    mutating func forgetDelivered() {
      guard first * 2 > flights.count else { return }
      let start = first < flights.count ? flights[first].start : storage.count
      storage.removeSubrange(..<start)
      flights.removeSubrange(..<first)
      for index in flights.indices { flights[index].start -= start }
      first = 0
    }

    var nextArrival: Instant? { first < flights.count ? flights[first].arrival : nil }
  }

  public init(_ cell: SizeCell) throws {
    self.cell = cell
    hosts = try cell.hosts.map { plan in
      try SimulatedShard(
        SimulatedHost.configuration(plan), lendsEngines: plan.lent,
        seed: UInt64(cell.mtu * 10_000 + cell.mss),
        now: Simulation.beginning)
    }
    for host in hosts {
      try host.run { (shard) throws(Errno) in
        try shard.host.link.devices[shard.ethernet].setFeatures(cell.offload.off, on: false)
      }
    }
    let local = SocketAddress(End.address(.b), port: Self.port)
    listener = try hosts[1].run { [cell] (shard) throws(Errno) in
      let socket = try shard.socket(.tcp)
      try shard.setsockopt(socket, level: 6, name: TCPOptionName.maximumSegment, Int32(cell.mss))
      try shard.bind(socket, to: local)
      try shard.listen(socket, backlog: 1)
      return socket
    }
    sender = try hosts[0].run { (shard) throws(Errno) in
      let socket = try shard.socket(.tcp)
      do throws(Errno) { try shard.connect(socket, to: local) } catch {
        if error != .EINPROGRESS { throw error }
      }
      return socket
    }
  }

  /// Sends so many segments and a third more before they count, so that the connection is under way.
  public func run(segments: Int) -> SizeResult {
    let lead = segments / 4
    var start: (at: Instant, bytes: Int, segments: Int, packets: Int)?
    // A stack that stays silent for so long has forgotten the connection.
    var silentUntil = now + .seconds(30)
    while result.segments < segments && result.complaint == nil {
      let before = result.segments
      collect(.a)
      collect(.b)
      guard let next = nextMoment, next <= silentUntil else {
        result.complaint = "nothing is sent any more"
        break
      }
      now = next
      write()
      deliver(to: .a)
      deliver(to: .b)
      read()
      if result.segments != before { silentUntil = now + .seconds(30) }
      if start == nil, result.segments >= lead {
        start = (now, received, result.segments, result.packets)
      }
    }
    if let start, now > start.at {
      result.bytes = received - start.bytes
      result.measuredSegments = result.segments - start.segments
      result.measuredPackets = result.packets - start.packets
      let carried = Double((now - start.at).rawValue) * 1000 / Double(Self.picosecondsPerByte)
      result.goodput = Double(result.bytes) / carried
    }
    return result
  }

  private var nextMoment: Instant? {
    let all = [
      hosts[0].nextDeadline, hosts[1].nextDeadline, links[0].nextArrival, links[1].nextArrival,
    ]
    return all.compactMap(\.self).min().map { max($0, now) }
  }

  // MARK: Programs

  private func write() {
    hosts[0].advance(to: now)
    guard receiver != nil else { return }
    hosts[0].run { shard in
      // Until it is refused: who has not been waits for nothing, and the buffer need not grow.
      while (try? shard.send(sender, Pattern.bytes[..<Pattern.period], flags: .dontWait)) != nil {}
    }
  }

  private func read() {
    hosts[1].advance(to: now)
    hosts[1].run { shard in
      if receiver == nil { receiver = try? shard.accept(listener) }
      guard let receiver else { return }
      var span = room.mutableSpan
      // Safe: a byte has no padding.
      var bytes = unsafe span.mutableBytes
      while let part = try? shard.receive(receiver, into: &bytes, flags: .dontWait), part.byteCount > 0 {
        received += part.byteCount
      }
    }
  }

  // MARK: The link

  private func deliver(to side: Side) {
    let from = side.other.index
    guard let arrival = links[from].nextArrival, arrival <= now else { return }
    hosts[side.index].advance(to: now)
    let storage = links[from].storage
    hosts[side.index].run { shard in
      while links[from].first < links[from].flights.count {
        let flight = links[from].flights[links[from].first]
        guard flight.arrival <= now else { break }
        links[from].first += 1
        shard.receive(storage.span.extracting(flight.start..<flight.start + flight.count), flight.metadata)
      }
    }
    links[from].forgetDelivered()
  }

  private func collect(_ side: Side) {
    hosts[side.index].takeFrames { bytes, metadata in
      let segments = judge(bytes, metadata, side)
      let headers = Int(metadata.headerByteCount)
      launch(bytes, metadata, side, byteCount: bytes.count + max(0, segments - 1) * headers)
    }
  }

  private func launch(
    _ bytes: Span<UInt8>, _ metadata: WireFrameMetadata, _ side: Side, byteCount: Int
  ) {
    let index = side.index
    let start = max(links[index].freeAt, Int(now.nanoseconds) * 1000)
    links[index].freeAt = start + byteCount * Self.picosecondsPerByte
    let nanoseconds = UInt64(links[index].freeAt / 1000) + UInt64(Self.delay.rawValue)
    let told = (nanoseconds + Self.moderation - 1) / Self.moderation * Self.moderation
    links[index].flights.append(
      Link.Flight(
        arrival: Instant(nanoseconds: told), start: links[index].storage.count, count: bytes.count,
        metadata: metadata))
    // Safe: the span's elements are bytes.
    unsafe bytes.withUnsafeBufferPointer { unsafe links[index].storage.append(contentsOf: $0) }
  }

  // MARK: Sizes

  /// Looks at a frame; returns how many segments with payload it stands for.
  private func judge(_ frame: Span<UInt8>, _ metadata: WireFrameMetadata, _ side: Side) -> Int {
    guard frame.count >= 54, frame[12] == 8, frame[13] == 0, frame[23] == 6 else { return 0 }
    func word(_ place: Int) -> Int { Int(frame[place]) << 8 | Int(frame[place + 1]) }
    let header = 14 + Int(frame[14] & 15) * 4
    let data = header + Int(frame[header + 12] >> 4) * 4
    let end = 14 + word(16)
    if frame[20] & 0x3F != 0 || frame[21] != 0 { complain("a TCP segment in fragments") }
    if end > frame.count { complain("an IP packet of \(end - 14) bytes in a frame of \(frame.count)") }
    let optionByteCount = data - header - 20
    if frame[header + 13] & 2 != 0 { noteSYN(frame, header + 20..<data, side) }
    let payload = end - data
    guard payload > 0 else {
      result.acknowledgments += 1
      return 0
    }
    let isCut = metadata.gsoType != .none
    let most = isCut ? Int(metadata.gsoSize) : payload
    let mtu = side == .a ? cell.mtu : cell.peerMTU
    if data - 14 + most > mtu { complain("a packet of \(data - 14 + most) bytes, MTU \(mtu)") }
    // RFC 6691 section 3: who asks means the payload without options, who sends takes its options off.
    let limit = asked[side.other.index] ?? 536
    if most + optionByteCount > limit {
      complain("a segment of \(most) bytes and \(optionByteCount) of options, MSS \(limit)")
    }
    let segments = isCut ? (payload + most - 1) / most : 1
    if side == .a {
      result.segments += segments
      if metadata.segmentIndex == 0 { result.packets += 1 }
    }
    return segments
  }

  /// What a SYN asks for is what its sender's MTU and TCP_MAXSEG make of it.
  private func noteSYN(_ frame: Span<UInt8>, _ options: Range<Int>, _ side: Side) {
    var place = options.lowerBound
    var found: Int?
    while place < options.upperBound, frame[place] != 0 {
      if frame[place] == 2 { found = Int(frame[place + 2]) << 8 | Int(frame[place + 3]) }
      place += frame[place] == 1 ? 1 : max(1, Int(frame[place + 1]))
    }
    let expected = side == .a ? cell.mtu - 40 : min(cell.mss, cell.peerMTU - 40)
    if found != expected { complain("a SYN asks for \(found ?? 0) bytes, not \(expected)") }
    asked[side.index] = found
  }

  private func complain(_ sentence: String) {
    if result.complaint == nil { result.complaint = sentence }
  }
}
