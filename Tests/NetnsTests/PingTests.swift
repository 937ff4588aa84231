import Testing

extension Netns {
  @Suite struct Ping {
    @Test("R ping from Linux, 0 to 65,507 bytes", arguments: [0, 56, 1472, 1473, 9000, 65_507])
    func fromLinux(size: Int) throws {
      try withWorld { world in
        let result = try world.tryInside(["ping", "-c3", "-i0.2", "-W20", "-s\(size)", world.stack])
        #expect(result.status == 0 && result.text.contains("3 received"), "\(result.summary)")
      }
    }

    @Test("R ping to Linux, 0 to 65,507 bytes", arguments: [0, 56, 1472, 1473, 9000, 65_507])
    func toLinux(size: Int) throws {
      try withWorld { world in
        let result = try world.swiftstack("ping", ["-c", "3", "-i", "0.2", "-s", "\(size)", world.host])
        #expect(result.status == 0, "\(result.summary)")
        #expect(result.text.contains("3 packets transmitted, 3 received"), "\(result.summary)")
        #expect(result.text.contains("\(size + 8) bytes from \(world.host)"), "\(result.summary)")
        #expect(result.text.contains("rtt min/avg/max/mdev") || size < 16, "\(result.summary)")
      }
    }

    @Test("R ping without a reply ends with status 1 and says so")
    func noReply() throws {
      try withWorld { world in
        try world.inside(["sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=1"])
        let result = try world.swiftstack("ping", ["-c", "2", "-i", "0.2", "-W", "0.5", world.host])
        #expect(result.status == 1, "\(result.summary)")
        #expect(
          result.text.contains("0 received") && result.text.contains("100% packet loss"), "\(result.summary)")
      }
    }

    @Test("R ping flood from Linux: nothing is lost")
    func flood() throws {
      try withWorld { world in
        let result = try world.tryInside(["ping", "-q", "-f", "-c5000", "-W20", world.stack], seconds: 30)
        #expect(result.status == 0 && result.text.contains("5000 received"), "\(result.summary)")
      }
    }
  }
}
