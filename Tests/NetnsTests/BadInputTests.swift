import Foundation
import Testing

extension Netns {
  /// Every mistake gets a clear sentence, the right status, and leaves nothing half-configured.
  @Suite struct BadInput {
    struct Case: Sendable, CustomTestStringConvertible {
      var name: String
      /// `IF` and `NS` stand for the world's interface and namespace.
      var arguments: [String]
      var status: Int32
      /// One of these is in what it says.
      var says: [String]
      var testDescription: String { name }
    }

    static let up = [
      Case(
        name: "name over 15 bytes", arguments: ["up", "sixteen-bytes-xx", "--netns", "NS"], status: 1,
        says: ["15"]),
      Case(name: "name with a slash", arguments: ["up", "tap/0", "--netns", "NS"], status: 1, says: ["/"]),
      Case(
        name: "bad CIDR", arguments: ["up", "IF", "--netns", "NS", "--address", "10.0.0.256/24"], status: 1,
        says: ["10.0.0.256/24"]),
      Case(
        name: "prefix length over 32", arguments: ["up", "IF", "--netns", "NS", "--address", "10.0.0.2/33"],
        status: 1, says: ["10.0.0.2/33"]),
      Case(
        name: "bad host CIDR", arguments: ["up", "IF", "--netns", "NS", "--host-address", "nonsense"],
        status: 1, says: ["nonsense"]),
      Case(
        name: "same address twice",
        arguments: [
          "up", "IF", "--netns", "NS", "--address", "10.0.0.1/24", "--host-address", "10.0.0.1/24",
        ],
        status: 1, says: ["10.0.0.1"]),
      Case(
        name: "MTU too small", arguments: ["up", "IF", "--netns", "NS", "--mtu", "10"], status: 1,
        says: ["10"]),
      Case(
        name: "MTU too large", arguments: ["up", "IF", "--netns", "NS", "--mtu", "70000"], status: 1,
        says: ["70000"]),
      Case(
        name: "unknown netns", arguments: ["up", "IF", "--netns", "no-such-netns"], status: 1,
        says: ["no-such-netns"]),
      Case(
        name: "MAC is not one", arguments: ["up", "IF", "--netns", "NS", "--mac", "02:00:00"], status: 1,
        says: ["02:00:00"]),
      Case(
        name: "multicast MAC", arguments: ["up", "IF", "--netns", "NS", "--mac", "01:00:5e:00:00:01"],
        status: 1, says: ["01:00:5e:00:00:01"]),
      Case(
        name: "bad gateway", arguments: ["up", "IF", "--netns", "NS", "--gateway", "10.0.0"], status: 1,
        says: ["10.0.0"]),
      Case(
        name: "ring size", arguments: ["up", "IF", "--netns", "NS", "--ring", "7"], status: 1, says: ["7"]),
      Case(
        name: "no interface", arguments: ["up"], status: 64, says: ["IFNAME", "ifname", "interface", "Usage"]),
      Case(
        name: "unknown option", arguments: ["up", "IF", "--no-such-option"], status: 64,
        says: ["no-such-option"]),
      Case(name: "unknown command", arguments: ["sideways"], status: 64, says: ["sideways"]),
      Case(
        name: "offload neither auto nor off", arguments: ["up", "IF", "--netns", "NS", "--offload", "maybe"],
        status: 64, says: ["maybe"]),
      Case(
        name: "MTU not a number", arguments: ["up", "IF", "--netns", "NS", "--mtu", "many"], status: 64,
        says: ["many"]),
      Case(
        name: "interface that is not a TAP", arguments: ["up", "DUMMY", "--netns", "NS"], status: 1,
        says: ["not a TAP", "is not a TAP"]),
      Case(
        name: "overlapping CIDR",
        arguments: [
          "up", "IF", "--netns", "NS", "--host-address", "172.30.0.1/16", "--address", "172.30.0.2/16",
        ], status: 1, says: ["172.30.0."]),
    ]

    @Test("up with bad input says so and leaves nothing", arguments: up)
    func upWithBadInput(_ mistake: Case) throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      // An interface that is not a TAP, with addresses that the last case overlaps.
      try world.inside(["ip", "link", "add", "dummy9", "type", "bridge"])
      try world.inside(["ip", "addr", "add", "172.30.5.1/24", "dev", "dummy9"])
      let before = try world.inside(["ip", "-o", "addr"]).text
      let arguments = mistake.arguments.map {
        $0 == "IF" ? world.interface : $0 == "NS" ? world.namespace : $0 == "DUMMY" ? "dummy9" : $0
      }
      let result = try NetnsWorld.swiftstack(arguments, seconds: 10)
      #expect(result.status == mistake.status, "\(result.summary)")
      let said = result.errors + (mistake.status == 64 ? result.text : "")
      #expect(mistake.says.contains { said.contains($0) }, "\(result.summary)")
      #expect(!said.contains("Fatal error"))
      #expect(try world.inside(["ip", "-o", "addr"]).text == before, "something stayed half-configured")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
    }

    @Test("up without CAP_NET_ADMIN says so")
    func notRoot() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      // An executable that everybody may read, run by nobody.
      let copy = world.directory.appendingPathComponent("swiftstack")
      try FileManager.default.copyItem(atPath: NetnsWorld.binary, toPath: copy.path)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: copy.path)
      let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
      let result = try world.tryInside(nobody + [copy.path, "up", world.interface], seconds: 10)
      if result.errors.contains("error while loading shared libraries") || result.status == 127 {
        // The toolchain's libraries are readable by root only on some machines; drop the capability instead.
        let dropped = try world.tryInside(
          [
            "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", copy.path, "up", world.interface,
          ], seconds: 10)
        expectRefusal(dropped)
      } else {
        expectRefusal(result)
      }
      let dropped = try world.tryInside(
        ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", copy.path, "up", world.interface],
        seconds: 10)
      expectRefusal(dropped)
    }

    private func expectRefusal(_ result: ChildProcess.Result) {
      #expect(result.status == 1, "\(result.summary)")
      #expect(result.errors.contains("CAP_NET_ADMIN") || result.errors.contains("root"), "\(result.summary)")
    }

    @Test("up without /dev/net/tun says so")
    func noTun() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let hidden = "mount -t tmpfs none /dev/net && exec \(NetnsWorld.binary) up \(world.interface)"
      let result = try world.tryInside(["unshare", "-m", "sh", "-c", hidden], seconds: 10)
      #expect(result.status == 1 && result.errors.contains("/dev/net/tun"), "\(result.summary)")
    }

    @Test("up on a TAP that another program holds says that it is busy")
    func busy() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let holder = try world.startInside(["python3", "-u", "-c", Self.holdTap, world.interface])
      #expect(holder.waitUntilItWrites("ready"))
      let result = try NetnsWorld.swiftstack(
        ["up", world.interface, "--netns", world.namespace], seconds: 10)
      #expect(result.status == 1, "\(result.summary)")
      #expect(result.errors.contains(world.interface), "\(result.summary)")
      #expect(result.errors.contains("busy") || result.errors.contains("using it"), "\(result.summary)")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
    }

    /// Creates a TAP and keeps it.
    private static let holdTap = """
      import fcntl, os, struct, sys, time
      f = os.open("/dev/net/tun", os.O_RDWR)
      fcntl.ioctl(f, 0x400454ca, struct.pack("16sH22x", sys.argv[1].encode(), 0x1002))
      print("ready"); time.sleep(600)
      """

    @Test("a second up on the same name: an error, and the first lives on")
    func second() throws {
      try withWorld { world in
        let result = try NetnsWorld.swiftstack(["up"] + world.upArguments, seconds: 10)
        #expect(result.status == 1 && result.errors.contains(world.interface), "\(result.summary)")
        let ping = try world.tryInside(["ping", "-c1", "-W20", world.stack])
        #expect(ping.status == 0, "\(ping.summary)")
        #expect(try world.swiftstack("nic").status == 0)
      }
    }

    @Test(
      "a client command without a running stack: status 1 and what to do",
      arguments: [
        ["ping", "-c", "1", "10.0.0.1"], ["nc", "10.0.0.1", "7"], ["ss"], ["neigh"], ["route"], ["qdisc"],
        ["nic"],
        ["stats"], ["trace"], ["capture", "x.pcapng"], ["perf", "send", "10.0.0.1", "7"],
        ["perf", "recv", "7"],
      ])
    func noStack(command: [String]) throws {
      let absent = Names.next().interface
      let result = try NetnsWorld.swiftstack(command + ["--interface", absent], seconds: 10)
      #expect(result.status == 1, "\(result.summary)")
      #expect(result.errors.contains(absent) && result.errors.contains("up"), "\(result.summary)")
    }

    @Test(
      "--help is help, status 0",
      arguments: [["--help"], ["up", "--help"], ["nc", "--help"], ["perf", "send", "--help"]])
    func help(arguments: [String]) throws {
      let result = try NetnsWorld.swiftstack(arguments, seconds: 10)
      #expect(result.status == 0 && result.text.contains("USAGE"), "\(result.summary)")
    }

    @Test("down without a running stack: status 1")
    func downNothing() throws {
      let absent = Names.next().interface
      let result = try NetnsWorld.swiftstack(["down", absent], seconds: 10)
      #expect(result.status == 1 && result.errors.contains(absent), "\(result.summary)")
    }

    @Test("a port in use: status 1 and the port in the message")
    func portInUse() throws {
      try withWorld { world in
        let result = try world.swiftstack("nc", ["-l", "7"], seconds: 10)
        #expect(result.status == 1 && !result.timedOut, "\(result.summary)")
        #expect(
          result.errors.contains("7") && result.errors.lowercased().contains("in use"), "\(result.summary)")
        let udp = try world.swiftstack("nc", ["-u", "-l", "7"], seconds: 10)
        #expect(udp.status == 1 && udp.errors.lowercased().contains("in use"), "\(udp.summary)")
      }
    }

    @Test("client commands with bad arguments: status 64, or 1 with the value named")
    func badArguments() throws {
      try withWorld { world in
        for (command, arguments, status) in [
          ("ping", [], 64), ("ping", ["-c", "x", "10.0.0.1"], 64), ("nc", [], 64),
          ("nc", ["10.0.0.1", "70000"], 64),
          ("perf", ["send"], 64), ("perf", ["sideways"], 64), ("capture", [], 64), ("ss", ["--sideways"], 64),
        ] as [(String, [String], Int32)] {
          let result = try world.swiftstack(command, arguments, seconds: 10)
          #expect(
            result.status == status || (status == 64 && result.status == 1 && !result.errors.isEmpty),
            "\(command) \(arguments): \(result.summary)")
          #expect(result.status != 0 && !result.timedOut)
        }
        let host = try world.swiftstack("nc", ["no.such.host.invalid", "80"], seconds: 15)
        #expect(host.status != 0 && host.errors.contains("no.such.host.invalid"), "\(host.summary)")
      }
    }

    @Test(
      "a malformed control message is answered with an error, and the daemon lives on",
      arguments: [
        "hello\\n", "{\\n", "{}\\n", "[1,2,3]\\n", "null\\n", "\\x00\\x01\\x02\\xff\\n",
        "{\"request\": 7}\\n",
        "{\"version\":2,\"request\":\"sideways\"}\\n", "\\n", "repeat:5000000",
        "{\"a\":{\"a\":{\"a\":{}}}}\\n",
      ])
    func malformedControl(message: String) throws {
      try withWorld { world in
        let answer = try world.peer(["unix", world.controlSocket, message], seconds: 20)
        #expect(answer.text.contains("error"), "\(answer.summary)")
        #expect(try world.swiftstack("nic").status == 0)
      }
    }

    @Test("control clients that say nothing, half a message, or come in hundreds do not block others")
    func rudeControlClients() throws {
      try withWorld { world in
        let rude = try world.startInside(["python3", "-u", "-c", Self.rude, world.controlSocket])
        #expect(rude.waitUntilItWrites("ready"))
        let result = try world.swiftstack("nic", seconds: 10)
        #expect(result.status == 0, "\(result.summary)")
        rude.stop()
        #expect(try world.swiftstack("ss").status == 0)
      }
    }

    private static let rude = """
      import socket, sys, time
      kept = []
      for number in range(20):
          s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); kept.append(s)
          if number % 2: s.send(b'{"version":')
      for number in range(300):
          s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.close()
      print("ready"); time.sleep(300)
      """

    @Test("the control socket is for root alone")
    func controlMode() throws {
      try withWorld { world in
        let mode =
          try FileManager.default.attributesOfItem(atPath: world.controlSocket)[.posixPermissions] as? Int
        #expect(mode == 0o600)
      }
    }
  }
}
