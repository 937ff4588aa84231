extension ICMPHeader.Kind: CustomStringConvertible {
  /// `echo request`, `time exceeded`; of a message nobody knows `type-#200`.
  public var description: String {
    switch self {
    case .echoReply: "echo reply"
    case .destinationUnreachable: "unreachable"
    case .sourceQuench: "source quench"
    case .redirect: "redirect"
    case .echoRequest: "echo request"
    case .timeExceeded: "time exceeded"
    case .parameterProblem: "parameter problem"
    case .timestampRequest: "time stamp query"
    case .timestampReply: "time stamp reply"
    case .addressMaskRequest: "address mask request"
    case .addressMaskReply: "address mask reply"
    default: "type-#\(rawValue)"
    }
  }
}

extension ICMPHeader: CustomStringConvertible {
  /// `echo request, id 7, seq 3`, `time exceeded in-transit`. What an error says of the packet that it quotes,
  /// `describe(quote:)` tells.
  public var description: String {
    switch kind {
    case .echoRequest, .echoReply: "\(kind), id \(identifier), seq \(sequence)"
    case .timestampRequest, .timestampReply: "\(kind) id \(identifier) seq \(sequence)"
    case .timeExceeded where code == 0: "time exceeded in-transit"
    case .timeExceeded where code == 1: "ip reassembly time exceeded"
    case .timeExceeded: "time exceeded-#\(code)"
    case .parameterProblem where code == 0: "parameter problem - octet \(rest >> 24)"
    case .parameterProblem: "parameter problem - code \(code)"
    case .destinationUnreachable: "unreachable - #\(code)"
    default: "\(kind)"
    }
  }

  /// With the destination of the packet that an error is about: `10.0.0.2 udp port 9 unreachable`.
  ///
  /// - Parameter quote: what follows the header: the IP header of that packet and some of its payload. Any bytes are
  ///   taken; from what is no such packet nothing is told.
  public func describe(quote: RawSpan) -> String {
    guard kind == .destinationUnreachable || kind == .redirect, let inner = IPv4Header(parsing: quote) else {
      return description
    }
    let target = inner.destination
    if kind == .redirect {
      let what = ["net", "host", "net tos", "host tos"]
      return code < 4
        ? "redirect \(target) to \(what[Int(code)]) \(IPv4Address(rest))" : "redirect-#\(code) \(target)"
    }
    switch code {
    case Unreachable.network: return "net \(target) unreachable"
    case Unreachable.host: return "host \(target) unreachable"
    case Unreachable.protocol: return "\(target) protocol \(inner.protocol.rawValue) unreachable"
    case Unreachable.port: return "\(target) \(Self.port(of: inner, in: quote)) unreachable"
    case Unreachable.fragmentationNeeded:
      let mtu = UInt16(truncatingIfNeeded: rest)
      return "\(target) unreachable - need to frag" + (mtu == 0 ? "" : " (mtu \(mtu))")
    case Unreachable.sourceRouteFailed: return "\(target) unreachable - source route failed"
    case 9: return "net \(target) unreachable - admin prohibited"
    case 10: return "host \(target) unreachable - admin prohibited"
    case Unreachable.administrativelyProhibited:
      return "host \(target) unreachable - admin prohibited filter"
    case Unreachable.highest: return "host \(target) unreachable - precedence cutoff"
    default: return "\(target) unreachable - #\(code)"
    }
  }

  private static func port(of header: IPv4Header, in quote: RawSpan) -> String {
    let name = header.protocol == .tcp || header.protocol == .udp
    let words = name ? "\(header.protocol)".lowercased() : "protocol \(header.protocol.rawValue)"
    guard header.headerByteCount + 4 <= quote.byteCount else { return words }
    return "\(words) port \(quote.load16(header.headerByteCount + 2))"
  }
}
