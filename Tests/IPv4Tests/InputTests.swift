import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

@Suite struct InputTests {
  static let udp: [UInt8] = [0, 1, 0, 2, 0, 8, 0, 0]

  private func isDelivered(_ bench: IPv4Bench, _ frame: [UInt8]) -> Bool {
    if case .delivered = bench.deliver(frame) { return true }
    return false
  }

  @Test("R IPv4 a packet goes up trimmed to its length, padding cut off") func trimmed() {
    let bench = IPv4Bench()
    let frame = IPv4Bench.frame([1, 2, 3, 4, 5, 6, 7, 8]) + [UInt8](repeating: 0xEE, count: 18)
    #expect(
      bench.deliver(frame)
        == .delivered(17, payload: [1, 2, 3, 4, 5, 6, 7, 8], source: IPv4Bench.peer, typeOfService: 0))
    #expect(bench.count(.IpInDelivers) == 1)
  }

  @Test("R IPv4 martian sources and destinations that are not ours are dropped") func martians() {
    let bench = IPv4Bench()
    for source in [
      "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "10.0.0.2", "10.0.0.255",
    ] {
      #expect(!isDelivered(bench, IPv4Bench.frame(source: IPv4Address(source)!, Self.udp)), "\(source)")
    }
    for destination in ["127.0.0.1", "10.0.0.3", "192.0.2.1", "224.1.1.1", "0.0.0.0"] {
      #expect(
        !isDelivered(bench, IPv4Bench.frame(destination: IPv4Address(destination)!, Self.udp)),
        "\(destination)")
    }
    #expect(bench.frames().isEmpty)
    // A host without an address asks everybody (DHCP); broadcasts and all hosts are for us.
    #expect(isDelivered(bench, IPv4Bench.frame(source: .any, destination: .broadcast, Self.udp)))
    #expect(isDelivered(bench, IPv4Bench.frame(destination: IPv4Address(10, 0, 0, 255), Self.udp)))
    #expect(
      isDelivered(
        bench,
        IPv4Bench.frame(destination: IPv4Address(224, 0, 0, 1), to: [1, 0, 0x5E, 0, 0, 1], Self.udp)))
  }

  @Test("R IPv4 headers that are damaged are dropped and counted") func damaged() {
    let bench = IPv4Bench()
    var version = IPv4Bench.frame(Self.udp)
    version[14] = 0x65
    var short = IPv4Bench.frame(Self.udp)
    short[14] = 0x44
    var long = IPv4Bench.frame(Self.udp)
    long[14] = 0x4F
    var total = IPv4Bench.frame(Self.udp)
    total[17] = 200
    var checksum = IPv4Bench.frame(Self.udp)
    checksum[24] ^= 1
    for frame in [version, short, long, total, checksum] { #expect(!isDelivered(bench, frame)) }
    #expect(bench.count(.IpInHdrErrors) == 5)
  }

  @Test("R IPv4 options: valid ones pass, source routes are dropped, bad lengths earn a parameter problem")
  func options() {
    let bench = IPv4Bench()
    let valid: [[UInt8]] = [
      [1, 1, 1, 0], [7, 7, 4, 0, 0, 0, 0, 0], [68, 8, 5, 0, 0, 0, 0, 0], [148, 4, 0, 0], [0, 9, 9, 9],
    ]
    for options in valid {
      #expect(isDelivered(bench, IPv4Bench.frame(options: options, Self.udp)), "\(options)")
    }
    for options: [UInt8] in [[131, 7, 4, 10, 0, 0, 9, 0], [137, 7, 4, 10, 0, 0, 9, 0]] {
      #expect(!isDelivered(bench, IPv4Bench.frame(options: options, Self.udp)))
    }
    #expect(bench.packets().isEmpty)
    // Length 0 must not loop; the pointer names the option.
    for (options, pointer): ([UInt8], UInt8) in [
      ([7, 0, 4, 0], 20), ([1, 7, 1, 0], 21), ([1, 1, 1, 7], 23), ([7, 200, 4, 0], 20), ([7, 4, 3, 0], 22),
    ] {
      #expect(!isDelivered(bench, IPv4Bench.frame(options: options, Self.udp)))
      let packet = bench.packets().first ?? []
      #expect(packet.count > 28 && packet[20] == 12 && packet[24] == pointer, "\(options)")
    }
  }

  @Test("R IPv4 hostile bytes: nothing traps, nothing leaks") func hostile() {
    let bench = IPv4Bench()
    var random = RandomSource(seed: 3)
    for round in 0..<6000 {
      var options = [UInt8](repeating: 0, count: Int(random.next(below: 11)) * 4)
      for index in options.indices { options[index] = UInt8(truncatingIfNeeded: random.next()) }
      var payload = [UInt8](repeating: 0, count: Int(random.next(below: 120)))
      for index in payload.indices { payload[index] = UInt8(truncatingIfNeeded: random.next() & 0x4F) }
      var frame = IPv4Bench.frame(
        protocol: [1, 6, 17, 99][round % 4], id: round % 5,
        fragment: round % 3 == 0 ? Int(random.next(below: 0x4000)) & ~0x1FF0 : 0, options: options, payload)
      if round % 4 == 0, payload.count >= 4 {
        frame = IPv4Bench.frame(
          protocol: 1, options: [], IPv4Bench.icmp(payload[0] & 15, payload[1] & 15, payload))
      }
      if round % 7 == 0 {
        let place = 14 + Int(random.next(below: UInt32(frame.count - 14)))
        frame[place] = UInt8(truncatingIfNeeded: random.next())
      }
      if round % 11 == 0 { frame[12] = 8; frame[13] = 6 }
      bench.deliver(Array(frame[..<(14 + Int(random.next(below: UInt32(frame.count - 13))))]))
      bench.deliver(frame)
      _ = bench.frames()
      if round % 100 == 0 { bench.advance(.seconds(7)) }
    }
    #expect(bench.count(.IpInReceives) > 6000)
  }
}
