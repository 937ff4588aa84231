import Foundation
import Testing

extension Netns {
  /// What a kernel peer asks for, by its MTU and by TCP_MAXSEG, and what it gets.
  @Suite struct SegmentSizes {
    struct Case: Sendable, CustomTestStringConvertible {
      var mtu: Int
      var offload: String
      /// TCP_MAXSEG of the kernel's socket; `nil`: it asks for what its MTU has room for.
      var mss: Int?
      var testDescription: String {
        "MTU \(mtu), offload \(offload), MSS \(mss.map(String.init) ?? "of the MTU")"
      }
    }

    static let cases = [576, 1500, 9000].flatMap { mtu in
      ["auto", "off"].flatMap { offload in
        [nil, 536, 1000, 8000].filter { $0 ?? 0 <= mtu - 40 }.map {
          Case(mtu: mtu, offload: offload, mss: $0)
        }
      }
    }

    @Test(
      "R RFC 6691 no segment is longer than a kernel peer asks for, and all but the last are as long",
      arguments: cases)
    func kernelPeer(_ sizes: Case) throws {
      var options = NetnsWorld.Options()
      options.mtu = sizes.mtu
      options.offload = sizes.offload
      try withWorld(options) { world in
        let byteCount = 8 << 20
        let mss = sizes.mss ?? sizes.mtu - 40
        let file = world.directory.appendingPathComponent("sent.pcap").path
        // Headers alone, so that nothing is lost on the way to the disk.
        let capture = try world.startInside([
          "tcpdump", "-i", world.interface, "-s", "80", "-B", "65536", "-U", "-w", file, "src", world.stack,
          "and", "tcp",
        ])
        #expect(capture.waitUntilItWrites("listening on"), "\(capture.errorsSoFar)")
        let sink = try world.startPeer(["sink", "5001", "1"] + (sizes.mss.map { ["\($0)"] } ?? []))
        let client = try world.startShell(
          "python3 $PEER pattern \(byteCount) | $SWIFTSTACK nc --interface $IF \(world.host) 5001")
        let out = try world.finishSending(sink: sink, client: client, seconds: 60)
        #expect(out.receivedBytes == byteCount && out.receivedDigest == out.sentDigest, "\(out)")
        // What the kernel has collected reaches tcpdump within a second.
        Thread.sleep(forTimeInterval: 1.5)
        capture.send(signal: SIGINT)
        #expect(capture.wait(seconds: 10).status == 0)
        /// Payload and options of TCP, from the lengths in the headers.
        let size = "ip[2:2] - ((ip[0] & 15) << 2) - 20"
        func count(_ filter: String) throws -> Int {
          try world.inside(["tcpdump", "-nn", "-r", file, filter], seconds: 60).text.split(separator: "\n")
            .count
        }
        let (longer, full) = (try count("\(size) > \(mss)"), try count("\(size) = \(mss)"))
        if sizes.offload == "off" {
          #expect(longer == 0, "\(longer) longer than \(mss)")
          let payload = mss - 12
          #expect(full >= byteCount / payload * 9 / 10, "\(full) of \(byteCount / payload) are full")
        } else {
          // The engines are the TAP's: it is given packets of many segments.
          #expect(longer > 0 && full + longer < byteCount / mss / 4, "\(full) and \(longer) packets")
        }
      }
    }
  }
}
