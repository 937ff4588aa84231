import Foundation
import Glibc
import Testing

extension Netns {
  /// The daemon among its clients, and what it is as a process.
  @Suite struct Daemons {
    private static func status(_ process: Int32, _ field: String) -> String {
      let text = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
      let line = text.split(separator: "\n").first { $0.hasPrefix("\(field):") }
      return line.map { $0.dropFirst(field.count + 1).trimmingCharacters(in: .whitespaces) } ?? ""
    }

    @Test(
      "nc that is killed, or gives up waiting: all that it had taken arrives, then the end",
      arguments: ["kill", "-w"])
    func deliversAll(how: String) throws {
      try withWorld { world in
        // A reader that begins late: the bytes are in the stack and between it and the client by then.
        let reader = try world.startInside(["python3", "-u", "-c", Self.lateReader, "6000"], input: .open)
        #expect(reader.waitUntilItWrites("ready"))
        let client = try world.startShell(
          "head -c 150000 /dev/zero | tr '\\0' x | cat - <(sleep 600) | "
            + "$SWIFTSTACK nc --interface $IF \(how == "-w" ? "-w 2" : "") \(world.host) 6000")
        // All bytes have left the client: they wait in the socket pair, the stack and the reader's kernel.
        let pipe = try world.startShell("true")
        pipe.stop()
        #expect(
          poll(seconds: 20) {
            let processes = Self.children(of: client.identifier, named: "swiftstack")
            guard let netcat = processes.first else { return nil }
            return Self.writtenBytes(netcat) >= 150_000 ? true : nil
          })
        if how == "kill" {
          for netcat in Self.children(of: client.identifier, named: "swiftstack") { kill(netcat, SIGKILL) }
        } else {
          #expect(
            poll(seconds: 20) {
              Self.children(of: client.identifier, named: "swiftstack").isEmpty ? true : nil
            })
        }
        try reader.write("go\n")
        let result = reader.wait(seconds: 20)
        #expect(result.integer("bytes") == 150_000 && result.word("end") == "fin", "\(result.summary)")
        client.stop()
      }
    }

    private static let lateReader = """
      import socket, sys
      server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
      server.bind(("", int(sys.argv[1]))); server.listen(); print("ready")
      connection, _ = server.accept()
      sys.stdin.readline()
      total, end = 0, "fin"
      try:
          while piece := connection.recv(65536): total += len(piece)
      except OSError as error:
          end = str(error)
      print(f"bytes={total} end={end}")
      """

    /// Processes below one, by the name of their program.
    private static func children(of process: Int32, named name: String) -> [Int32] {
      let list =
        (try? String(
          contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)) ?? ""
      let direct = list.split(separator: " ").compactMap { Int32($0) }
      let own = direct.filter {
        (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)) == name + "\n"
      }
      return own + direct.flatMap { children(of: $0, named: name) }
    }

    /// wchar of /proc/PID/io: bytes its writes have taken.
    private static func writtenBytes(_ process: Int32) -> Int {
      let text = (try? String(contentsOfFile: "/proc/\(process)/io", encoding: .utf8)) ?? ""
      return text.split(separator: "\n").first { $0.hasPrefix("wchar: ") }.flatMap { Int($0.dropFirst(7)) }
        ?? 0
    }

    @Test("idle clients by the hundred: no busy loop, the log stays short, those who ask are served")
    func manyIdleClients() throws {
      try withWorld { world in
        let rude = try world.startInside([
          "python3", "-u", "-c", Self.idleClients, world.controlSocket, "1100",
        ])
        #expect(rude.waitUntilItWrites("ready", seconds: 60))
        #expect((world.daemon?.errorsSoFar.utf8.count ?? .max) < 10_000)
        // Idle ones are let go after 10 s, those in reserved places after one.
        let down = try world.swiftstack("ss", seconds: 30)
        #expect(down.status == 0 || down.errors.contains("too many control clients"), "\(down.summary)")
        #expect(poll(seconds: 60, every: 0.5) { (try? world.swiftstack("ss"))?.status == 0 ? true : nil })
        rude.stop()
      }
    }

    @Test("few descriptors: as many clients as there is room for, one line of log, and down has its turn")
    func outOfDescriptors() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let up = try world.startShell(
        "exec prlimit --nofile=64:64 $SWIFTSTACK up \(world.upArguments.joined(separator: " "))")
      #expect(poll(seconds: 20) { FileManager.default.fileExists(atPath: world.controlSocket) ? true : nil })
      #expect(poll(seconds: 20, every: 0.1) { (try? world.swiftstack("nic"))?.status == 0 ? true : nil })
      let rude = try world.startInside(["python3", "-u", "-c", Self.idleClients, world.controlSocket, "100"])
      #expect(rude.waitUntilItWrites("ready", seconds: 60))
      #expect(poll(seconds: 20) { up.errorsSoFar.contains("turned away") ? true : nil })
      let ticks = Self.ticks(up.identifier)
      // Long enough for a busy loop to show, and for the next tries.
      Thread.sleep(forTimeInterval: 2.5)
      #expect(Self.ticks(up.identifier) - ticks < 100)
      let lines = up.errorsSoFar.components(separatedBy: "turned away").count - 1
      #expect(lines == 1, "\(up.errorsSoFar.prefix(1000))")
      // Those in reserve are let go soon.
      #expect(
        poll(seconds: 20, every: 0.2) {
          (try? NetnsWorld.swiftstack(["down", world.interface], seconds: 60))?.status == 0 ? true : nil
        })
      #expect(up.wait(seconds: 20).status == 0)
      rude.stop()
    }

    private static let idleClients = """
      import resource, socket, sys, time
      resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
      kept = []
      for _ in range(int(sys.argv[2])):
          s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); kept.append(s)
      print("ready"); time.sleep(600)
      """

    /// Processor time used, hundredths of a second.
    private static func ticks(_ process: Int32) -> Int {
      let text = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
      let fields = text.components(separatedBy: ") ").last?.split(separator: " ").map { Int($0) ?? 0 } ?? []
      return fields.count > 12 ? fields[11] + fields[12] : 0
    }

    @Test("a client that sends without a newline while it is answered: memory stays where it was")
    func endlessLine() throws {
      try withWorld { world in
        let daemon = try #require(world.daemon)
        let before = Int(Self.status(daemon.identifier, "VmRSS").prefix { $0.isNumber }) ?? 0
        let flood = try world.startInside(["python3", "-u", "-c", Self.endless, world.controlSocket])
        let result = flood.wait(seconds: 30)
        #expect(!result.timedOut && result.text.contains("ready"), "\(result.summary)")
        let after = Int(Self.status(daemon.identifier, "VmRSS").prefix { $0.isNumber }) ?? .max
        #expect(after - before < 32 << 10, "\(before) to \(after) KiB")
      }
    }

    /// Sends as much as is taken in some time, at most 256 MiB.
    private static let endless = """
      import socket, sys, time
      s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
      s.sendall(b'{"version":2,"command":{"trace":{"_0":{"follow":true}}}}\\n')
      s.recv(1000); s.settimeout(0.5)
      sent = 0
      try:
          while sent < 256 << 20: sent += s.send(b"x" * 65536)
      except OSError:
          pass
      print("ready", sent); time.sleep(0.2)
      """

    @Test("a stopped daemon: clients say so instead of waiting for ever")
    func stopped() throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      world.daemon?.send(signal: SIGSTOP)
      defer { world.daemon?.send(signal: SIGCONT) }
      let clients = try [["ss"], ["ping", "-c1", world.host], ["trace"], ["nc", world.host, "7"]].map {
        try world.startSwiftstack($0[0], Array($0.dropFirst()))
      }
      for client in clients {
        let result = client.wait(seconds: 30)
        #expect(result.status == 1 && !result.timedOut, "\(client.name): \(result.summary)")
        #expect(
          result.errors.contains("has not answered") && result.errors.contains("stopped"), "\(result.summary)"
        )
      }
    }

    @Test("nohup: an ignored SIGHUP does not end the stack; one that is not ignored does")
    func nohup() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      for isIgnored in [true, false] {
        let prefix = isIgnored ? "trap '' HUP; " : ""
        let up = try world.startShell(
          "\(prefix)exec $SWIFTSTACK up \(world.upArguments.joined(separator: " "))")
        #expect(poll(seconds: 20, every: 0.1) { (try? world.swiftstack("nic"))?.status == 0 ? true : nil })
        up.send(signal: SIGHUP)
        if isIgnored {
          #expect(try world.swiftstack("nic").status == 0)
          up.send(signal: SIGTERM)
        }
        let result = up.wait(seconds: 10)
        #expect(result.status == 0 && !result.timedOut, "\(result.summary)")
      }
    }

    @Test("SIGQUIT ends the stack as SIGTERM does")
    func quit() throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      let end = try #require(world.stopStack(signal: SIGQUIT))
      #expect(end.status == 0 && !end.timedOut && !end.errors.contains("Crash"), "\(end.summary)")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
    }

    @Test("up --detach: a log, / as its folder, no capability left, nothing of the terminal kept")
    func detached() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let log = "/var/log/swiftstack-\(world.interface).log"
      defer { try? FileManager.default.removeItem(atPath: log) }
      let up = try NetnsWorld.swiftstack(["up"] + world.upArguments + ["--detach"], seconds: 20)
      #expect(up.status == 0, "\(up.summary)")
      let report = try world.peer(
        ["unix", world.controlSocket, "{\"version\":2,\"command\":{\"describe\":{}}}\\n"])
      let number = report.text.components(separatedBy: "\"processID\":").last?.prefix { $0.isNumber } ?? ""
      let process = try #require(Int32(number), "\(report.summary)")
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd") == "/")
      let isBySudo = ProcessInfo.processInfo.environment["SUDO_UID"] != nil
      if !isBySudo { try DroppedPrivileges.expectDropped(process, user: 65534, group: 65534) }
      #expect(
        try world.tryInside(["nc", "-N", world.stack, "7"], input: .text("hi\n"), seconds: 10).text == "hi\n")
      #expect(try NetnsWorld.swiftstack(["down", world.interface], seconds: 20).status == 0)
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
      let said = try String(contentsOfFile: log, encoding: .utf8)
      #expect(
        said.contains("\(world.interface) is up") && said.contains("\(world.interface) is down"), "\(said)")
    }

    @Test("a user with CAP_NET_ADMIN and no more, as setcap gives it: up, ss and down work")
    func unprivilegedUser() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let folder = world.directory.appendingPathComponent("run")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder.path)
      for path in [world.directory, world.directory.deletingLastPathComponent()] where path.path != "/tmp" {
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path.path)
      }
      let copy = world.directory.appendingPathComponent("swiftstack")
      try FileManager.default.copyItem(atPath: NetnsWorld.binary, toPath: copy.path)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: copy.path)
      let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
      let variable = "XDG_RUNTIME_DIR=\(folder.path)"
      let probe = try world.startShell("exec \(nobody) \(copy.path) --version", inside: true).wait(
        seconds: 10)
      // On some machines the toolchain's libraries are for root only, and nobody else runs anything built with it.
      guard probe.status == 0 else { return }
      // Everybody's, as on most machines.
      let device = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200"
      let capability = "--inh-caps=+net_admin --ambient-caps=+net_admin"
      let up = try world.startShell(
        "exec unshare -m sh -c '\(device) && \(variable) exec \(nobody) \(capability) \(copy.path) up "
          + "\(world.interface)'", inside: true)
      #expect(up.waitUntilItWrites("is up"), "\(up.errorsSoFar)")
      let client = "\(variable) exec \(nobody) \(copy.path)"
      let ss = try world.startShell("\(client) ss", inside: true).wait(seconds: 20)
      #expect(ss.status == 0 && ss.text.contains("LISTEN"), "\(ss.summary)")
      #expect(try world.tryInside(["ping", "-c1", "-W20", world.stack]).status == 0)
      let down = try world.startShell("\(client) down \(world.interface)", inside: true).wait(seconds: 20)
      #expect(down.status == 0, "\(down.summary)")
      #expect(up.wait(seconds: 10).status == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/swiftstack").isEmpty)
    }

    @Test("one name in two namespaces: two stacks, and a client finds the one of its own")
    func sameName() throws {
      let first = try NetnsWorld(startingStack: false)
      defer { first.removeAll() }
      let second = try NetnsWorld(startingStack: false)
      defer { second.removeAll() }
      let name = first.interface
      var ups: [ChildProcess] = []
      for (world, address) in [(first, "10.0.0.2/24"), (second, "10.0.0.9/24")] {
        let up = try world.startInside([NetnsWorld.binary, "up", name, "--address", address])
        #expect(up.waitUntilItWrites("is up"), "\(up.errorsSoFar)")
        ups.append(up)
      }
      for (world, address) in [(first, "10.0.0.2"), (second, "10.0.0.9")] {
        for arguments in [["ss"], ["ss", "--interface", name]] {
          let inside = try world.tryInside([NetnsWorld.binary] + arguments)
          #expect(inside.status == 0 && !inside.text.isEmpty, "\(inside.summary)")
        }
        let route = try world.tryInside([NetnsWorld.binary, "route"])
        #expect(route.text.contains("src \(address)") || route.text.contains(address), "\(route.summary)")
        let named = try NetnsWorld.swiftstack(["route", "--interface", name, "--netns", world.namespace])
        #expect(named.text == route.text, "\(named.summary)")
      }
      let outside = try NetnsWorld.swiftstack(["route", "--interface", name])
      #expect(outside.status == 1 && outside.errors.contains("--netns"), "\(outside.summary)")
      let again = try first.tryInside([NetnsWorld.binary, "up", name])
      #expect(again.status == 1 && again.errors.contains("already running"), "\(again.summary)")
      for (world, up) in zip([first, second], ups) {
        #expect(try world.tryInside([NetnsWorld.binary, "down", name]).status == 0)
        #expect(up.wait(seconds: 10).status == 0)
      }
    }

    @Test("a persistent TAP is left as it was found, and killed daemons do not keep the next from it")
    func persistentTap() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      try world.inside(["ip", "tuntap", "add", "mode", "tap", world.interface])
      func state() throws -> String {
        // A queueing discipline that was once there stays, as for every interface that was up.
        let text = try world.inside(["ip", "-d", "addr", "show", world.interface]).text
        return text.replacingOccurrences(of: "qdisc noop", with: "qdisc pfifo_fast")
      }
      let before = try state()
      for _ in 0..<2 {
        try world.startStack()
        try DroppedPrivileges.expectDropped(try #require(world.daemon).identifier, user: 65534, group: 65534)
        let keeper = try DroppedPrivileges.keeper(of: try #require(world.daemon).identifier)
        // CAP_NET_ADMIN, and nothing else.
        #expect(Self.status(keeper, "CapPrm") == "0000000000001000" && Self.status(keeper, "Seccomp") == "2")
        #expect(world.stopStack()?.status == 0)
        #expect(try state() == before)
      }
      // Killed, too, it is put back: by the keeper, which sees its end.
      try world.startStack()
      _ = world.stopStack(signal: SIGKILL)
      #expect(poll(seconds: 5) { (try? state()) == before ? true : nil })
      // With the keeper gone nobody does.
      try world.startStack()
      kill(try DroppedPrivileges.keeper(of: try #require(world.daemon).identifier), SIGKILL)
      _ = world.stopStack(signal: SIGKILL)
      let exchanged = try NetnsWorld.swiftstack(
        [
          "up", world.interface, "--netns", world.namespace, "--address", "10.0.0.1/24", "--host-address",
          "10.0.0.2/24",
        ], seconds: 20)
      #expect(
        exchanged.status == 1 && exchanged.errors.contains("10.0.0.1")
          && exchanged.errors.contains(world.interface),
        "\(exchanged.summary)")
      try world.startStack()
      #expect(try world.tryInside(["ping", "-c1", "-W20", world.stack]).status == 0)
      #expect(world.stopStack()?.status == 0)
    }

    @Test("ss with thousands of sockets lists them all, while an echo goes on as without it")
    func manySockets() throws {
      try withWorld { world in
        let idle = try world.startPeer(["idle", world.stack, "7", "4000"], input: .open)
        let ss = try world.swiftstack("ss", seconds: 60)
        #expect(ss.status == 0, "\(ss.errors)")
        #expect(ss.text.split(separator: "\n").filter { $0.contains("ESTAB") }.count == 4000)
        let value = try #require(try world.json("ss") as? [Any])
        #expect(value.count > 4000)
        idle.stop()
      }
    }
  }
}
