import Glibc
import SwiftStack

/// The stack's side of `tools/oracle`: makes the socket calls that it reads, a line each, on sockets of the stack, and
/// writes what became of each. `kernel_agent.py` says the same of the kernel's sockets; the words are described there.
///
///     oracle-agent INTERFACE
@main struct OracleAgent {
  private let stack: Stack
  private var sockets: [String: AgentSocket] = [:]
  /// As they were before the script.
  private var settings: [String: String] = [:]

  static func main() throws {
    guard CommandLine.arguments.count == 2 else {
      print("usage: oracle-agent INTERFACE")
      exit(64)
    }
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    configuration.settings.tcpFastOpenKeys = FastOpenKeys("00010203-04050607-08090a0b-0c0d0e0f")
    let interface = try InterfaceName(CommandLine.arguments[1])
    let stack = try Stack(tap: TapParameters(interface: interface, offload: false), configuration)
    // The kernel's world has none either: a segment is acknowledged for itself.
    try stack.setFeature(.gro, on: false)
    var agent = OracleAgent(stack: stack)
    say("ready")
    while let line = readLine() {
      let words = line.split(separator: " ").map(String.init)
      guard words.count >= 2 else { continue }
      say(agent.answer(words[0], words[1], Array(words.dropFirst(2))))
    }
    stack.close()
  }

  private static func say(_ line: String) {
    print(line)
    // All streams: whoever asked waits for the answer.
    fflush(nil)
  }

  private mutating func answer(_ name: String, _ verb: String, _ words: [String]) -> String {
    do throws(SocketError) {
      switch verb {
      case "tcp", "udp", "udplite", "ping", "echo":
        let kind: SocketKind = ["tcp": .tcp, "udp": .udp, "udplite": .udpLite][verb] ?? .ping
        sockets[name] = AgentSocket(try stack.socket(kind), isEcho: verb == "echo")
        return "ok"
      case "accept":
        guard let listener = sockets[name] else { return "nobody" }
        let accepted = AgentSocket(try listener.socket.accept())
        sockets[words[0]] = accepted
        guard let peer = accepted.socket.acceptedFrom else { return "ok" }
        return "ok \(peer)"
      case "close":
        guard let closed = sockets.removeValue(forKey: name) else { return "nobody" }
        closed.socket.close()
        return "ok"
      case "reset":
        for socket in sockets.values { socket.socket.close() }
        sockets = [:]
        for (setting, value) in settings { try? stack.set(setting, to: value) }
        settings = [:]
        return "ok"
      case "sysctl":
        if settings[words[0]] == nil { settings[words[0]] = try? stack.setting(words[0]) }
        do throws(StackError) { try stack.set(words[0], to: words[1]) } catch {
          return "errno \((error.code ?? .EINVAL).rawValue)"
        }
        return "ok"
      case "move":
        guard let old = sockets.removeValue(forKey: name) else { return "nobody" }
        let (moved, said) = try old.moved(to: try stack.socket(.tcp))
        sockets[words[0]] = moved
        return said
      case "forget":
        stack.forgetFastOpenCookies()
        return "ok"
      default:
        // Perhaps an accept that failed; the other world has none either.
        guard let socket = sockets[name] else { return "nobody" }
        return try socket.answer(verb, words)
      }
    } catch { return "errno \(error.errno.rawValue)" }
  }
}
