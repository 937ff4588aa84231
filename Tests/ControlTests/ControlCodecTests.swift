import NetNamespace
import Control
import Testing

/// The control protocol: any bytes give a request or a sentence.
@Suite struct ControlCodecTests {
  static let requests: [ControlCommand] = [
    .down, .describe, .ss, .neigh, .route, .qdisc, .nic, .stats, .trace(TraceRequest(follow: true)),
    .capture(CaptureRequest()), .addr, .drops, .memory, .sysctl(nil), .sysctl("net.ipv4.ip_default_ttl"),
    .change(["route", "add", "unreachable", "10.9.0.0/16", "metric", "5"]),
    .ping(PingRequest(host: "10.0.0.1", count: 3, interval: 0.5, byteCount: 56, wait: 2)),
    .perf(PerfRequest(host: nil, port: 5201, time: 10, streams: 4, length: 65536)),
    .nc(NetcatRequest(host: "10.0.0.1", port: 80, isUDP: false, timeout: nil)),
  ]

  @Test("every request comes back as it went", arguments: requests)
  func roundTrip(command: ControlCommand) throws {
    let line = ControlCodec.encode(ControlRequest(command))
    #expect(!line.contains(0x0A))
    #expect(try ControlCodec.decodeRequest(line).command == command)
  }

  @Test("the wire form of a request is what the documentation says")
  func golden() throws {
    let line = ControlCodec.encode(ControlRequest(.trace(TraceRequest(follow: false))))
    #expect(
      String(decoding: line, as: UTF8.self) == #"{"command":{"trace":{"_0":{"follow":false}}},"version":2}"#)
    let read = try ControlCodec.decodeRequest(Array(#"{"version":2,"command":{"ss":{}}}"#.utf8))
    #expect(read.command == .ss)
  }

  @Test(
    "what cannot be read is an error with a reason",
    arguments: [
      "", "hello", "{", "{}", "[1,2,3]", "null", "7", "\"x\"", #"{"version":2}"#,
      #"{"version":2,"command":{"sideways":{}}}"#, #"{"version":"1","command":{"ss":{}}}"#,
      #"{"version":2,"command":{"ping":{"_0":{"host":7}}}}"#, #"{"version":2,"command":{"ss":{},"nic":{}}}"#,
      #"{"version":2,"command":{"perf":{"_0":{"port":70000,"time":1,"streams":1,"length":1}}}}"#,
    ])
  func malformed(text: String) {
    #expect(throws: ControlError.self) { try ControlCodec.decodeRequest(Array(text.utf8)) }
  }

  @Test("another version is refused by its number")
  func version() {
    #expect {
      try ControlCodec.decodeRequest(Array(#"{"version":1,"command":{"ss":{}}}"#.utf8))
    } throws: { error in
      "\(error)".contains("version 1")
    }
  }

  @Test("deep nesting and broken copies of good requests never trap", arguments: 1...8)
  func fuzz(seed: UInt64) {
    var random = RandomSource(seed: seed)
    let deep = Array(String(repeating: "[", count: 60000).utf8)
    #expect(throws: ControlError.self) { try ControlCodec.decodeRequest(deep) }
    for command in Self.requests {
      for _ in 0..<100 {
        var line = ControlCodec.encode(ControlRequest(command))
        for _ in 0...random.next(below: 4) {
          let place = Int(random.next(below: UInt32(line.count)))
          switch random.next(below: 3) {
          case 0: line[place] = UInt8(truncatingIfNeeded: random.next())
          case 1: line.remove(at: place)
          default: line.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
          }
        }
        _ = try? ControlCodec.decodeRequest(line)
        _ = try? ControlCodec.decodeAnswer(line)
      }
    }
  }
}
