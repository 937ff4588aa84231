import NetNamespace
import Sockets
import Testing
import Wire

@Suite struct SendPolicyTests {
  let id = SocketID(.udp, index: 3)
  let peer = SocketAddress(IPv4Address(10, 0, 0, 1), port: 53)

  @Test("S2 The first rule that fits decides; none allows")
  func order() throws {
    let net = try #require(IPv4Prefix("10.0.0.0/24"))
    var policy = SendPolicy(rules: [
      .init(destination: net, ports: 53...53, veto: nil),
      .init(destination: net, veto: .EPERM),
      .init(kind: .tcp, veto: .EACCES),
      .init(byteCounts: 1000...Int.max, veto: .EMSGSIZE),
    ])
    #expect(policy.veto(id, destination: peer, byteCount: 10) == nil)
    #expect(policy.veto(id, destination: SocketAddress(peer.address, port: 54), byteCount: 10) == .EPERM)
    let far = SocketAddress(IPv4Address(192, 0, 2, 1), port: 53)
    #expect(policy.veto(id, destination: far, byteCount: 10) == nil)
    #expect(policy.veto(id, destination: nil, byteCount: 1000) == .EMSGSIZE)
    #expect(policy.veto(SocketID(.tcp, index: 0), destination: far, byteCount: 1) == .EACCES)
    var empty = SendPolicy()
    #expect(empty.veto(id, destination: peer, byteCount: 1) == nil)
  }

  @Test("S2 A rule for one socket leaves the others alone")
  func oneSocket() {
    var policy = SendPolicy(rules: [.init(socket: id, veto: .EPERM)])
    #expect(policy.veto(id, destination: nil, byteCount: 0) == .EPERM)
    #expect(policy.veto(SocketID(.udp, index: 4), destination: nil, byteCount: 0) == nil)
  }

  @Test("S7 EPIPE raises SIGPIPE on a stream unless MSG_NOSIGNAL")
  func sigpipe() {
    #expect(SocketLayer.raisesSIGPIPE(.EPIPE, kind: .tcp, flags: []))
    #expect(!SocketLayer.raisesSIGPIPE(.EPIPE, kind: .tcp, flags: .noSignal))
    #expect(!SocketLayer.raisesSIGPIPE(.EPIPE, kind: .udp, flags: []))
    #expect(!SocketLayer.raisesSIGPIPE(.ECONNRESET, kind: .tcp, flags: []))
  }
}
