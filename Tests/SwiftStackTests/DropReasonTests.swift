import IceModel
import NetNamespace
import SkBuff
import TestSupport
import Testing
import Timers
import Trace
import Wire

@testable import SwiftStack

/// Every packet that is thrown away says why, in Linux's words, where people can read it.
@Suite struct DropReasonTests {
  private func drops(_ host: SimulatedStack) -> [String: UInt64] {
    Dictionary(
      uniqueKeysWithValues: host.stack.dropReports.filter { $0.value > 0 }.map { ($0.name, $0.value) })
  }
  private func udp(port: UInt16, _ payload: [UInt8] = [1, 2, 3, 4]) -> [UInt8] {
    ScriptedPeer.bytes(UInt16(9000)) + ScriptedPeer.bytes(port)
      + ScriptedPeer.bytes(UInt16(8 + payload.count)) + [0, 0]
      + payload
  }
  /// An IPv4 fragment of the payload, 10.0.0.1 to 10.0.0.2.
  private func fragment(_ payload: ArraySlice<UInt8>, offset: Int, more: Bool, number: UInt8) -> [UInt8] {
    var frame = ScriptedPeer.frame(protocol: number, Array(payload))
    let field = UInt16(offset / 8) | (more ? 0x2000 : 0)
    frame.replaceSubrange(20..<22, with: ScriptedPeer.bytes(field))
    frame.replaceSubrange(24..<26, with: [0, 0])
    frame.replaceSubrange(24..<26, with: ScriptedPeer.bytes(ScriptedPeer.checksum(Array(frame[14..<34]))))
    return frame
  }

  @Test("B5 a datagram that nobody has a socket for: NO_SOCKET, whether an ICMP error can be sent or not")
  func noSocket() throws {
    let peer = try ScriptedPeer()
    for _ in 0..<20 { peer.host.receive(ScriptedPeer.frame(protocol: 17, udp(port: 999))) }
    #expect(drops(peer.host) == ["NO_SOCKET": 20])
  }

  @Test("B5 a full accept queue: the SYN is dropped as TCP_LISTEN_OVERFLOW")
  func listenOverflow() throws {
    let peer = try ScriptedPeer()
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen(backlog: 0)
    peer.hostPort = 80
    peer.send(0x02, sequence: 1000, options: [2, 4, 5, 0xB4])
    let answer = try #require(peer.next())
    peer.send(0x10, sequence: 1001, acknowledgment: answer.sequence &+ 1)
    let before = drops(peer.host)
    peer.port = 7001
    peer.send(0x02, sequence: 5000, options: [2, 4, 5, 0xB4])
    #expect(peer.next() == nil)
    #expect(before["TCP_LISTEN_OVERFLOW"] == nil)
    #expect(drops(peer.host)["TCP_LISTEN_OVERFLOW"] == 1)
  }

  @Test("B5 fragments that were put together were not dropped")
  func reassembled() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.udp)
    try socket.bind(to: SocketAddress(.any, port: 999))
    let whole = udp(port: 999, [UInt8](repeating: 7, count: 992))
    peer.host.receive(fragment(whole[0..<496], offset: 0, more: true, number: 17))
    peer.host.receive(fragment(whole[496...], offset: 496, more: false, number: 17))
    #expect(socket.readiness.contains(.readable))
    #expect(drops(peer.host).isEmpty)
  }

  @Test("B5 what becomes of packets of each kind has its own reason")
  func kinds() throws {
    let peer = try ScriptedPeer()
    let host = peer.host
    host.receive(ScriptedPeer.frame(protocol: 200, [1, 2, 3, 4]))
    host.receive(ScriptedPeer.frame(protocol: 17, udp(port: 9), destination: [10, 0, 0, 77]))
    var bad = ScriptedPeer.frame(protocol: 17, udp(port: 9))
    bad[25] ^= 1
    host.receive(bad)
    host.receive(fragment(udp(port: 9)[...], offset: 0, more: true, number: 6)[...].map { $0 })
    peer.advance(.seconds(31))
    let all = drops(host)
    #expect(all["IP_NOPROTO"] == 1 && all["IP_INADDRERRORS"] == 1 && all["IP_CSUM"] == 1)
    #expect(all["NOT_SPECIFIED"] == nil)
  }

  @Test("B5 reasons have distinct names, Linux's: capitals and underscores")
  func names() {
    let names = DropReason.allCases.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(names.allSatisfy { $0.allSatisfy { $0 == "_" || $0.isUppercase || $0.isNumber } })
    #expect(
      DropReason.qdiscDrop.name == "QDISC_DROP" && DropReason.tcpListenOverflow.name == "TCP_LISTEN_OVERFLOW")
    #expect(
      DropReason.ipOutNoRoute.name == "IP_OUTNOROUTES"
        && DropReason.bpfCgroupEgress.name == "BPF_CGROUP_EGRESS"
        && DropReason.neighbourCreateFailed.name == "NEIGH_CREATEFAIL")
  }

  @Test("B5 D11 the trace names reasons, events and states, and keeps the number beside them")
  func traceNames() {
    func text(_ point: TracePoint, _ a: UInt64, _ b: UInt64 = 0, _ c: UInt64 = 0) -> [String?] {
      TraceReport(TraceRecord(nanoseconds: 0, point: point, skb: 0, socket: 0, a: a, b: b, c: c), queue: 0)
        .arguments.map(\.text)
    }
    #expect(text(.kfree_skb, UInt64(DropReason.noSocket.rawValue)).first == "NO_SOCKET")
    #expect(text(.device_malicious_driver, 6).first == "tooManyBuffers")
    #expect(text(.tcp_set_state, 7, 2) == ["UNCONN", "SYN-SENT"])
    #expect(text(.ip_output, 60, 6, 0x0A00_0001) == [nil, "TCP", "10.0.0.1"])
    #expect(text(.tcp_v4_rcv, 1, 0, 0x12) == [nil, nil, "S."])
    #expect(text(.neigh_update, 0x0A00_0001, 1, 2) == ["10.0.0.1", "INCOMPLETE", "REACHABLE"])
    #expect(text(.arp_rcv, 2, 0x0A00_0001) == ["reply", "10.0.0.1"])
    #expect(text(.icmp_rcv, 8, 0) == ["echo request", nil])
    #expect(text(.sock_sendmsg, 5, 0x4000) == [nil, nil, nil])
    #expect(text(.tcp_ack, 7) == [nil, nil, nil])
    #expect(text(.kfree_skb, 255).first == .some(nil))
  }

  @Test(
    "O1 the points on the way of a connection are recorded",
    arguments: [
      TracePoint.tcp_v4_rcv, .ip_output, .neigh_event_send, .tcp_rcv_established, .ip_queue_xmit,
      .ip_finish_output2,
      .dev_queue_xmit, .dev_hard_start_xmit, .ice_start_xmit, .ice_doorbell, .device_fetch, .device_frame_out,
      .device_frame_in, .ice_clean_rx_irq, .ice_clean_tx_irq, .tcp_sendmsg, .tcp_write_xmit,
      .tcp_transmit_skb, .tcp_ack,
      .tcp_set_state, .neigh_update, .arp_send, .arp_rcv, .ip_rcv,
    ])
  func points(point: TracePoint) throws {
    let peer = try ScriptedPeer()
    peer.host.stack.shards[0].inspect { $0.host.net.tracer.isEnabled = true }
    let connection = try ScriptedConnection(peer: peer)
    try connection.socket.send([UInt8](repeating: 1, count: 100)[...].map { $0 })
    connection.acknowledge(connection.acknowledgment &+ 100)
    let records = peer.host.stack.shards[0].inspect { $0.host.net.tracer.records(from: 0).records }
    #expect(records.contains { $0.point == point })
  }
}
