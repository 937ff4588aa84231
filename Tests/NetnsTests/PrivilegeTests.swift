import Foundation
import Glibc
import Testing

extension Netns {
  /// What the daemon is as a process once it is up, and who may talk to it.
  @Suite struct DroppedPrivileges {
    /// `/proc/PID/task/*/status`, by field.
    static func threads(_ process: Int32) throws -> [[String: String]] {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").compactMap { task in
        // A thread may end meanwhile.
        guard
          let text = try? String(contentsOfFile: "/proc/\(process)/task/\(task)/status", encoding: .utf8)
        else { return nil }
        let lines = text.split(separator: "\n").compactMap { line -> (String, String)? in
          guard let colon = line.firstIndex(of: ":") else { return nil }
          let value = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace)
          return (String(line[..<colon]), value.joined(separator: " "))
        }
        return Dictionary(lines) { first, _ in first }
      }
    }

    static let none = "0000000000000000"

    /// Every thread is that user, in one group, and can do nothing more.
    static func expectDropped(
      _ process: Int32, user: Int, group: Int, seccomp: String = "2", atLeast count: Int = 1,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let threads = try threads(process)
      #expect(threads.count >= count, sourceLocation: sourceLocation)
      for thread in threads {
        let expected = [
          "Uid": "\(user) \(user) \(user) \(user)", "Gid": "\(group) \(group) \(group) \(group)",
          "Groups": "",
          "CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1",
          "Seccomp": seccomp,
        ]
        for (field, value) in expected {
          #expect(thread[field] == value, "\(field) \(thread["Name"] ?? "")", sourceLocation: sourceLocation)
        }
      }
    }

    /// The process that cleans up after a daemon.
    static func keeper(of process: Int32) throws -> Int32 {
      let list = try String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
      let children = list.split(separator: " ").compactMap { Int32($0) }
      guard children.count == 1 else { throw Failure("\(process) has children \(list)") }
      return children[0]
    }

    @Test(
      "by root: nobody, in every thread, whatever the stack is doing; the keeper is root and can do nothing")
    func everyThread() throws {
      try withWorld(.init(more: ["--queues", "2"])) { world in
        let daemon = try #require(world.daemon)
        // Conversations, a bridge, bulk transfers, captures: each has threads or descriptors of its own.
        let sink = try world.startPeer(["sink", "5001"])
        let perf = try world.startSwiftstack("perf", ["recv", "5201", "-t", "3"])
        let trace = try world.startSwiftstack("trace", ["--follow"])
        let file = world.directory.appendingPathComponent("all.pcapng").path
        let capture = try world.startSwiftstack("capture", [file])
        #expect(capture.waitUntilItWrites("capturing"))
        let echo = try world.tryInside(["nc", "-N", world.stack, "7"], input: .text("hi\n"), seconds: 10)
        #expect(echo.text == "hi\n")
        try Self.expectDropped(daemon.identifier, user: 65534, group: 65534, atLeast: 5)
        let keeper = try Self.keeper(of: daemon.identifier)
        let state = try Self.threads(keeper)
        #expect(state.count == 1 && state[0]["Uid"] == "0 0 0 0" && state[0]["Seccomp"] == "2")
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] { #expect(state[0][set] == Self.none) }
        // It holds the lock, its link and a name for the daemon's end: nothing of the TAP, the clients or the terminal.
        let held = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(keeper)/fd").map {
          (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(keeper)/fd/\($0)")) ?? ""
        }
        #expect(held.allSatisfy { !$0.contains("tun") }, "\(held)")
        #expect(held.filter { $0 == "/dev/null" }.count == 3 && held.count == 6, "\(held)")
        for child in [perf, trace, capture] { child.send(signal: SIGINT) }
        for child in [perf, trace, capture] { _ = child.wait(seconds: 10) }
        sink.stop()
      }
    }

    @Test("by sudo: the user who called it, who needs no sudo for the rest; others are refused")
    func sudoUser() throws {
      let world = try NetnsWorld(
        .init(environment: ["SUDO_UID": "61234", "SUDO_GID": "61235", "SUDO_USER": "somebody"]))
      defer { world.removeAll() }
      let daemon = try #require(world.daemon)
      try Self.expectDropped(daemon.identifier, user: 61234, group: 61235)
      #expect(try Self.ask(world, as: "61234").text.contains("describe"))
      #expect(try Self.ask(world, as: "0").text.contains("describe"))
      // The socket's mode keeps others out. Who passes that is asked who it is.
      for user in ["61299", "65534"] {
        #expect(try Self.ask(world, as: user).errors.contains("PermissionError"))
        let passing = try Self.ask(
          world, as: user, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
        #expect(
          passing.text.contains("permission denied")
            && passing.text.contains("user 61234, not of user \(user)"),
          "\(passing.summary)")
      }
      let end = try #require(world.stopStack())
      #expect(end.status == 0 && !FileManager.default.fileExists(atPath: world.controlSocket))
    }

    /// One that everybody may run: the first in PATH may be in a home.
    private static let python =
      FileManager.default.isExecutableFile(atPath: "/usr/bin/python3") ? "/usr/bin/python3" : "python3"

    /// Asks the daemon who it is, as somebody.
    static func ask(
      _ world: NetnsWorld, as user: String, _ more: String...
    ) throws -> ChildProcess.Result {
      let script = """
        import socket, sys
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
        try: s.sendall(b'{"version":2,"command":{"describe":{}}}\\n')
        except BrokenPipeError: pass
        print(s.recv(10000).decode())
        """
      let identity = ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups"] + more
      return try world.tryInside(identity + [python, "-c", script, world.controlSocket])
    }

    @Test("--user: that user and group; root stays, without a capability; one that is not there is an error")
    func named() throws {
      try withWorld(.init(more: ["--user", "61777"])) { world in
        let daemon = try #require(world.daemon)
        try Self.expectDropped(daemon.identifier, user: 61777, group: 61777)
        #expect(try Self.ask(world, as: "61777").text.contains("describe"))
      }
      try withWorld(.init(more: ["--user", "root"])) { world in
        try Self.expectDropped(try #require(world.daemon).identifier, user: 0, group: 0)
      }
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let up = try NetnsWorld.swiftstack(["up"] + world.upArguments + ["--user", "no-such-user"])
      #expect(up.status == 1 && up.errors.contains("no user of that name"), "\(up.summary)")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
    }

    @Test("--seccomp off: no filter, all the rest") func unfiltered() throws {
      try withWorld(.init(more: ["--seccomp", "off"])) { world in
        let daemon = try #require(world.daemon)
        try Self.expectDropped(daemon.identifier, user: 65534, group: 65534, seccomp: "0")
      }
    }

    @Test("a user namespace that knows no other user: up stays who it is, and says so") func userNamespace()
      throws
    {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let up = try world.startShell(
        "exec unshare --user --map-root-user --net --mount sh -c 'mount -t tmpfs none /run && exec $SWIFTSTACK up tap0'"
      )
      #expect(up.waitUntilItWrites("is up"), "\(up.errorsSoFar)")
      #expect(poll(seconds: 5) { up.errorsSoFar.contains("stays root, without capabilities") ? true : nil })
      up.send(signal: SIGTERM)
      #expect(up.wait(seconds: 10).status == 0)
    }

    @Test(
      "killed, or crashed: the control socket goes, and the next stack starts", arguments: [SIGKILL, SIGSEGV])
    func killed(signal: Int32) throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      let keeper = try Self.keeper(of: try #require(world.daemon).identifier)
      let end = try #require(world.stopStack(signal: signal))
      #expect(!end.timedOut && end.status != 0)
      #expect(poll(seconds: 5) { FileManager.default.fileExists(atPath: world.controlSocket) ? nil : true })
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket + ".lock"))
      #expect(poll(seconds: 5) { FileManager.default.fileExists(atPath: "/proc/\(keeper)/exe") ? nil : true })
      try world.startStack()
      #expect(world.stopStack()?.status == 0)
    }

    @Test("a keeper that is killed: the stack runs on and ends, and the next start replaces what stayed")
    func withoutKeeper() throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      kill(try Self.keeper(of: try #require(world.daemon).identifier), SIGKILL)
      #expect(try world.swiftstack("nic").status == 0)
      let second = try NetnsWorld.swiftstack(["up"] + world.upArguments)
      #expect(second.status == 1 && second.errors.contains("already running"), "\(second.summary)")
      #expect(world.stopStack()?.status == 0)
      try world.startStack()
      #expect(world.stopStack()?.status == 0)
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
    }

    @Test("the log has the machine's time of day, which is read before files cannot be opened any more")
    func timeOfDay() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      // Half an hour off any zone that the machine may have.
      let zone = "TZ=:/usr/share/zoneinfo/Asia/Kolkata"
      guard FileManager.default.fileExists(atPath: "/usr/share/zoneinfo/Asia/Kolkata") else { return }
      let up = try world.startShell(
        "exec env \(zone) $SWIFTSTACK up \(world.upArguments.joined(separator: " "))")
      #expect(poll(seconds: 20) { up.errorsSoFar.contains("is up") ? true : nil })
      #expect(up.errorsSoFar.contains("+0530"), "\(up.errorsSoFar)")
      up.send(signal: SIGTERM)
      #expect(up.wait(seconds: 10).status == 0)
    }
  }
}
