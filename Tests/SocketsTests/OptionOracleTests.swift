import NetNamespace
import SwiftStack
import TestSupport
import Testing

@testable import Sockets

/// Every option of Linux's list on every kind of socket, on the stack and on the kernel beside it: result and read-back.
@Suite("S options against the kernel")
struct OptionOracleTests {
  enum Kind: String, CaseIterable, Sendable {
    case tcp, listening, connected, udp
    case udpConnected = "connected udp"
  }

  /// Options of Linux's that the stack does not offer: it says so (ENOPROTOOPT), setting and reading, on every kind of
  /// socket, whatever the value.
  static let notOffered: Set<String> = [
    "SO_BSDCOMPAT", "SO_PASSCRED", "SO_PEERCRED", "SO_ATTACH_FILTER", "SO_DETACH_FILTER",
    "SO_PEERSEC", "SO_PASSSEC",
    "SO_WIFI_STATUS", "SO_NOFCS", "SO_LOCK_FILTER",
    "SO_BUSY_POLL", "SO_BPF_EXTENSIONS", "SO_INCOMING_CPU", "SO_ATTACH_BPF",
    "SO_ATTACH_REUSEPORT_CBPF", "SO_ATTACH_REUSEPORT_EBPF", "SO_CNX_ADVICE",
    "SO_INCOMING_NAPI_ID", "SO_COOKIE", "SO_PEERGROUPS",
    "SO_DETACH_REUSEPORT_BPF",
    "SO_PREFER_BUSY_POLL", "SO_BUSY_POLL_BUDGET", "SO_NETNS_COOKIE", "SO_RESERVE_MEM",
    "SO_TXREHASH", "SO_PASSPIDFD", "SO_PEERPIDFD", "SO_DEVMEM_DONTNEED",
    "TCP_ZEROCOPY_RECEIVE", "IP_HDRINCL", "IP_ROUTER_ALERT",
    "IP_PKTOPTIONS", "IP_IPSEC_POLICY", "IP_XFRM_POLICY", "IP_PASSSEC", "IP_TRANSPARENT", "IP_NODEFRAG",
    "IP_CHECKSUM", "IP_RECVERR_RFC4884", "IP_PROTOCOL", "UDP_ENCAP", "UDP_NO_CHECK6_TX",
    "UDP_NO_CHECK6_RX",
    "SO_RCVPRIORITY",
  ]

  /// Offered options that a kernel may be built without (CONFIG_TCP_AO), which RFC 9235's vectors hold, or may be too old for or
  /// has in longer ticks, which the oracle's scripts hold.
  static let notEverywhere: Set<String> = [
    "TCP_AO_ADD_KEY", "TCP_AO_DEL_KEY", "TCP_AO_INFO", "TCP_AO_GET_KEYS", "TCP_AO_REPAIR",
    "TCP_RTO_MAX_MS", "TCP_RTO_MIN_US", "TCP_DELACK_MAX_US",
  ]

  /// Whether the kernel next door can be asked what the stack is to do.
  static func isCompared(_ name: String) -> Bool {
    !notOffered.contains(name) && !notEverywhere.contains(name)
  }

  /// Offered options whose value depends on more than the option: results are compared, these read-backs are not.
  static let readsOtherwise: [Kind: [String: String]] = [
    .tcp: [
      "TCP_INFO": "counts and times of this connection",
      "TCP_TIMESTAMP": "a clock",
      "TCP_CONGESTION": "the machine's default",
      "TCP_CC_INFO": "of the machine's default",
    ],
    .listening: [
      "TCP_INFO": "counts and times of this connection",
      "TCP_TIMESTAMP": "a clock",
      "TCP_CONGESTION": "the machine's default",
      "TCP_CC_INFO": "of the machine's default",
    ],
    .connected: [
      "SO_PEERNAME": "the peer's port",
      "TCP_INFO": "counts and times of this connection",
      "TCP_TIMESTAMP": "a clock",
      "TCP_CONGESTION": "the machine's default",
      "TCP_CC_INFO": "of the machine's default",
      "SO_SNDBUF": "grows with the congestion control",
      "SO_MEMINFO": "SO_SNDBUF is in it, and what is reserved ahead",
      "TCP_MAXSEG": "bounded by half of the peer's window, which is another",
      "TCP_WINDOW_CLAMP": "grows with what was received",
    ],
    .udp: [:],
    .udpConnected: [
      "SO_PEERNAME": "the peer's port"
    ],
  ]

  @Test("S every option is obeyed or refused as Linux does", arguments: Kind.allCases)
  func options(_ kind: Kind) throws {
    for option in OptionList.all where Self.isCompared(option.name) {
      let pair = try OptionPair(kind)
      let comparesValues = Self.readsOtherwise[kind]?[option.name] == nil
      func compare(_ moment: Comment) {
        let ours = pair.stackGet(option), theirs = pair.kernelGet(option)
        if comparesValues {
          #expect(ours == theirs, moment)
        } else {
          #expect(ours.hasPrefix("errno") == theirs.hasPrefix("errno"), moment)
        }
      }
      compare("\(option.name) at first")
      for value in option.values {
        #expect(
          pair.stackSet(option, value) == pair.kernelSet(option, value), "\(option.name) set to \(value)")
        compare("\(option.name) after \(value)")
      }
    }
  }

  @Test("S each entry of the table is compared with the kernel")
  func coversTable() {
    let listed = Set(OptionList.all.map { "\($0.level) \($0.number) \($0.name)" })
    for table in OptionTable.levels {
      for option in table.options {
        #expect(listed.contains("\(table.level) \(option.name) \(option.label)"))
        #expect(!Self.notOffered.contains(option.label))
        #expect(option.read != nil || option.set != nil)
      }
      #expect(Set(table.options.map(\.name)).count == table.options.count, "a number stands in a table once")
    }
  }

  @Test("S an option that is not offered is ENOPROTOOPT, never silence", arguments: Kind.allCases)
  func refused(_ kind: Kind) throws {
    for option in OptionList.all where Self.notOffered.contains(option.name) {
      let pair = try OptionPair(kind)
      for value in option.values {
        // A value that is no int is refused before the name is looked at.
        let wanted = pair.stackSet(option, value)
        #expect(wanted == Errno.ENOPROTOOPT.rawValue || wanted == Errno.EINVAL.rawValue && value.count < 4)
      }
      let read = pair.stackGet(option)
      #expect(read == "errno 92" || read == "errno 95", "\(option.name) reads \(read)")
    }
  }
}
