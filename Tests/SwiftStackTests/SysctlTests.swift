import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers

/// Settings of a running stack: what they are called, what they may be, and that the stack obeys.
@Suite struct SysctlTests {
  @Test("sysctl: every setting reads back what Linux has at its start") func defaults() throws {
    let host = try SimulatedStack()
    let values = Dictionary(host.stack.settingReports.map { ($0.name, $0.value) }) { first, _ in first }
    #expect(values.count == Sysctl.all.count && values.count >= 78)
    for (name, value) in [
      ("net.ipv4.ip_default_ttl", "64"), ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
      ("net.ipv4.tcp_syn_retries", "6"), ("net.ipv4.tcp_synack_retries", "5"),
      ("net.ipv4.tcp_retries2", "15"), ("net.ipv4.tcp_fin_timeout", "60"),
      ("net.ipv4.tcp_keepalive_time", "7200"), ("net.ipv4.tcp_timestamps", "1"),
      ("net.ipv4.ip_local_port_range", "32768 60999"), ("net.ipv4.icmp_ratelimit", "1000"),
      ("net.ipv4.route.min_pmtu", "552"), ("net.core.somaxconn", "4096"), ("net.core.wmem_max", "4194304"),
      ("net.ipv4.tcp_congestion_control", "cubic"), ("net.ipv4.udp_rmem_min", "4096"),
      ("net.ipv4.igmp_max_memberships", "20"), ("net.ipv4.igmp_max_msf", "10"), ("net.ipv4.igmp_qrv", "2"),
      ("net.ipv4.igmp_link_local_mcast_reports", "1"), ("net.ipv4.conf.all.force_igmp_version", "0"),
      ("net.core.optmem_max", "131072"), ("net.ipv4.ipfrag_high_thresh", "4194304"),
      ("net.ipv4.ipfrag_low_thresh", "3145728"), ("net.ipv4.ipfrag_time", "30"),
      ("net.ipv4.ipfrag_max_dist", "64"), ("net.ipv4.neigh.default.base_reachable_time_ms", "30000"),
      ("net.ipv4.neigh.default.delay_first_probe_time", "5"),
      ("net.ipv4.neigh.default.retrans_time_ms", "1000"),
      ("net.ipv4.neigh.default.mcast_solicit", "3"), ("net.ipv4.neigh.default.ucast_solicit", "3"),
      ("net.ipv4.neigh.default.app_solicit", "0"), ("net.ipv4.neigh.default.unres_qlen_bytes", "212992"),
      ("net.ipv4.neigh.default.gc_thresh1", "128"), ("net.ipv4.neigh.default.gc_thresh2", "512"),
      ("net.ipv4.neigh.default.gc_thresh3", "1024"), ("net.ipv4.neigh.default.gc_stale_time", "60"),
      ("net.ipv4.neigh.default.locktime", "100"), ("net.ipv4.neigh.default.proxy_delay", "80"),
      ("net.ipv4.neigh.default.proxy_qlen", "64"), ("net.ipv4.conf.sim0.arp_ignore", "0"),
      ("net.ipv4.conf.all.arp_announce", "0"), ("net.ipv4.conf.all.accept_source_route", "0"),
      ("net.ipv4.conf.sim0.accept_source_route", "1"),
      ("net.core.max_skb_frags", "17"),
      ("net.ipv4.tcp_early_retrans", "3"), ("net.ipv4.tcp_mtu_probing", "0"),
      ("net.ipv4.tcp_base_mss", "1024"), ("net.ipv4.tcp_mtu_probe_floor", "48"),
      ("net.ipv4.tcp_probe_interval", "600"), ("net.ipv4.tcp_probe_threshold", "8"),
      ("net.ipv4.tcp_retries1", "3"), ("net.ipv4.tcp_slow_start_after_idle", "1"),
      // Three, four and six eighths of 512 MiB, in pages.
      ("net.ipv4.tcp_mem", "49152 65536 98304"),
    ] {
      #expect(values[name] == value, "\(name)")
      #expect(try host.stack.setting(name) == value)
    }
  }

  /// As the kernel answers them.
  @Test(
    "sysctl: what a setting may be",
    arguments: [
      ("net.ipv4.ip_default_ttl", "1", "1"), ("net.ipv4.ip_default_ttl", " 255 ", "255"),
      ("net.ipv4.tcp_syn_retries", "127", "127"), ("net.ipv4.tcp_synack_retries", "255", "255"),
      ("net.ipv4.tcp_syn_linear_timeouts", "127", "127"), ("net.ipv4.tcp_wmem", "1 2 3", "1 2 3"),
      ("net.ipv4.tcp_wmem", "4096 100", "4096 100 4194304"),
      ("net.ipv4.tcp_congestion_control", "reno", "reno"),
      ("net.ipv4.ip_local_port_range", "1024", "1024 60999"),
      ("net.ipv4.ip_local_port_range", "1500\t1500", "1500 1500"), ("net.ipv4.icmp_ratelimit", "0", "0"),
      ("net.ipv4.ipfrag_time", "0", "0"), ("net.ipv4.route.min_pmtu", "68", "68"),
      ("net.core.wmem_max", "4608", "4608"), ("net.core.rmem_max", "2304", "2304"),
      ("net.ipv4.tcp_fastopen", "1539", "1539"),
      ("net.ipv4.tcp_fastopen_blackhole_timeout_sec", "3600", "3600"),
      (
        "net.ipv4.tcp_fastopen_key", "0102-3-ffffffff-0,1-2-3-4",
        "00000102-00000003-ffffffff-00000000,00000001-00000002-00000003-00000004"
      ),
      ("net.core.max_skb_frags", "1", "1"), ("net.core.max_skb_frags", "17", "17"),
      ("net.ipv4.tcp_early_retrans", "4", "4"), ("net.ipv4.tcp_mtu_probing", "2", "2"),
      ("net.ipv4.tcp_mem", "1 2", "1 2 98304"), ("net.ipv4.tcp_mtu_probe_floor", "48", "48"),
      ("net.ipv4.tcp_sack", "0", "0"), ("net.ipv4.tcp_fin_timeout", "2147483", "2147483"),
    ])
  func accepted(name: String, value: String, shown: String) throws {
    let host = try SimulatedStack()
    try host.stack.set(name, to: value)
    #expect(try host.stack.setting(name) == shown)
  }

  @Test(
    "sysctl: what it may not be is EINVAL with the value and the range, and changes nothing",
    arguments: [
      ("net.ipv4.ip_default_ttl", "0", "1 to 255"), ("net.ipv4.ip_default_ttl", "256", "1 to 255"),
      ("net.ipv4.ip_default_ttl", "abc", "abc"), ("net.ipv4.ip_default_ttl", "1x", "1x"),
      ("net.ipv4.ip_default_ttl", "", "one number"), ("net.ipv4.ip_default_ttl", "1 2", "one number"),
      ("net.core.max_skb_frags", "0", "1 to 17"), ("net.core.max_skb_frags", "18", "1 to 17"),
      ("net.ipv4.tcp_early_retrans", "5", "0 to 4"), ("net.ipv4.tcp_mtu_probing", "3", "0 to 2"),
      ("net.ipv4.tcp_mem", "1 2 3 4", "1 to 3 numbers"),
      ("net.ipv4.tcp_mtu_probe_floor", "47", "48 to 65535"),
      ("net.ipv4.tcp_syn_retries", "0", "1 to 127"), ("net.ipv4.tcp_syn_retries", "128", "1 to 127"),
      ("net.ipv4.tcp_synack_retries", "256", "0 to 255"), ("net.ipv4.tcp_retries2", "-1", "0 to 255"),
      ("net.ipv4.tcp_wmem", "0 1 1", "1 to 2147483647"), ("net.ipv4.tcp_wmem", "1 2 3 4", "1 to 3 numbers"),
      ("net.core.wmem_max", "4607", "4608"), ("net.core.rmem_max", "2303", "2304"),
      ("net.ipv4.tcp_fastopen_key", "1-2-3", "four words"),
      ("net.ipv4.tcp_fastopen_key", "1-2-3-4,", "four words"),
      ("net.ipv4.tcp_fastopen_key", "1-2-3-x", "four words"),
      ("net.ipv4.ip_local_port_range", "0 5", "1 to 65535"),
      ("net.ipv4.ip_local_port_range", "1 70000", "1 to 65535"),
      ("net.ipv4.ip_local_port_range", "5 4", "above"), ("net.ipv4.icmp_ratelimit", "-1", "0 to"),
      ("net.ipv4.route.min_pmtu", "67", "68 to"), ("net.ipv4.tcp_autocorking", "2", "0 to 1"),
      ("net.ipv4.udp_rmem_min", "0", "1 to"), ("net.ipv4.tcp_keepalive_time", "2147484", "2147483"),
      ("net.ipv4.tcp_keepalive_time", "99999999999999999999", "not a number"),
    ])
  func refused(name: String, value: String, reason: String) throws {
    let host = try SimulatedStack()
    let before = host.stack.settingReports
    #expect {
      try host.stack.set(name, to: value)
    } throws: { error in
      let error = error as? StackError
      return error?.code == .EINVAL
        && [name, "\"\(value)\"", "Invalid argument", reason].allSatisfy {
          error?.description.contains($0) == true
        }
    }
    #expect(host.stack.settingReports == before)
  }

  @Test("P6 sysctl: ipfrag_low_thresh and ipfrag_high_thresh bound each other, as in Linux") func bounded()
    throws
  {
    let stack = try SimulatedStack().stack
    #expect(throws: StackError.self) { try stack.set("net.ipv4.ipfrag_high_thresh", to: "3145727") }
    #expect(throws: StackError.self) { try stack.set("net.ipv4.ipfrag_low_thresh", to: "4194305") }
    try stack.set("net.ipv4.ipfrag_low_thresh", to: "0")
    try stack.set("net.ipv4.ipfrag_high_thresh", to: "1000")
    #expect(try stack.setting("net.ipv4.ipfrag_high_thresh") == "1000")
    #expect(throws: StackError.self) { try stack.set("net.ipv4.ipfrag_low_thresh", to: "1001") }
  }

  @Test("sysctl: names that are none, and a congestion control that is not there, are ENOENT") func unknown()
    throws
  {
    let stack = try SimulatedStack().stack
    for (name, value) in [
      ("net.ipv4.nonsense", "1"), ("", ""), ("net.ipv4.tcp_congestion_control", "vegas"),
    ] {
      #expect { try stack.set(name, to: value) } throws: { ($0 as? StackError)?.code == .ENOENT }
    }
    #expect { try stack.setting("net.ipv4") } throws: { ($0 as? StackError)?.code == .ENOENT }
  }

  @Test("sysctl: a setting is obeyed by what is sent from then on, from every queue", arguments: [1, 4])
  func obeyed(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    for queue in 0..<queues {
      let socket = try peer.host.stack.socket(.tcp, queue: queue)
      socket.isNonBlocking = true
      try peer.host.stack.set("net.ipv4.ip_default_ttl", to: "\(33 + queue)")
      #expect(throws: SocketError.self) {
        try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 80))
      }
      let packet = try #require(peer.takePackets().first)
      #expect(packet[8] == UInt8(33 + queue))
    }
  }

  @Test("sysctl: icmp_msgs_per_sec 0 leaves the burst and no more") func noMessages() throws {
    let peer = try FramePeer()
    try peer.host.stack.set("net.ipv4.icmp_ratelimit", to: "0")
    try peer.host.stack.set("net.ipv4.icmp_msgs_per_sec", to: "0")
    for _ in 0..<4 {
      for _ in 0..<50 { peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 999))) }
      peer.advance(.seconds(10))
    }
    // Each costs none, one or two of the burst.
    #expect((26...74).contains(peer.takePackets().count))
  }

  @Test("sysctl: queues share the local ports, each with a part of its own, and none without any")
  func ports() throws {
    let peer = try FramePeer(queues: 4)
    let stack = peer.host.stack
    #expect {
      try stack.set("net.ipv4.ip_local_port_range", to: "4000 4002")
    } throws: { ($0 as? StackError)?.code == .EINVAL }
    try stack.set("net.ipv4.ip_local_port_range", to: "4000 4003")
    var ports: Set<UInt16> = []
    for queue in 0..<4 {
      let socket = try stack.socket(.tcp, queue: queue)
      try socket.bind(to: SocketAddress(.any, port: 0))
      ports.insert(try socket.localAddress.port)
    }
    #expect(ports == [4000, 4001, 4002, 4003])
  }

  @Test(
    "sysctl: at either end of its range a setting breaks nothing: bytes go over a connection, and back, or an error comes",
    arguments: Sysctl.all.map { $0.of(interface: "sim0").name })
  func ends(name: String) throws {
    for value in ["0", "1", "68", "2304", "4608", "127", "255", "2147483", "2147483647"] {
      let wire = try SimulatedWire()
      do { try wire.left.stack.set(name, to: value) } catch { continue }
      try wire.right.stack.set(name, to: value)
      let socket = try wire.left.stack.socket(.tcp)
      socket.isNonBlocking = true
      _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
      let datagram = try wire.left.stack.socket(.udp)
      datagram.isNonBlocking = true
      _ = try? datagram.send([1], to: SocketAddress(SimulatedWire.rightAddress, port: 999))
      try wire.run(for: .seconds(2))
      _ = try? socket.send([1, 2, 3])
      try wire.run(for: .seconds(5))
      _ = try? socket.receive(upTo: 16)
      socket.close()
      try wire.run(for: .seconds(70))
    }
  }
}
