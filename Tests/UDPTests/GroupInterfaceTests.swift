import InetSocket
import NetNamespace
import Sockets
import Testing
import Wire

/// `IP_ADD_MEMBERSHIP` and `IP_DROP_MEMBERSHIP` with the interface: what Linux 6.18 answered with `lo` as 1 and another
/// device as 2.
@Suite("U5 a group is joined on an interface")
struct GroupInterfaceTests {
  private static let group: [UInt8] = [239, 1, 1, 1]

  /// Joins (35) or leaves (36): an address, and an index where there is one.
  private func call(
    _ bench: DatagramBench, _ socket: SocketID, _ name: Int32, _ address: [UInt8], _ index: UInt8? = nil
  ) -> Errno? {
    let request = Self.group + address + (index.map { [$0, 0, 0, 0] } ?? [])
    do throws(Errno) {
      // Safe: a byte has no padding.
      let span = unsafe request.span.bytes
      try bench.sockets.setsockopt(socket, level: 0, name: name, value: span, host: &bench.host)
      return nil
    } catch {
      return error
    }
  }

  @Test("each interface has a membership of its own, however it is named")
  func interfaces() throws {
    let bench = DatagramBench()
    let any: [UInt8] = [0, 0, 0, 0]
    let lo: [UInt8] = [127, 0, 0, 1]
    let own: [UInt8] = [10, 0, 0, 2]
    let foreign: [UInt8] = [203, 0, 113, 9]
    typealias Step = (name: Int32, address: [UInt8], index: UInt8?, answer: Errno?)
    let rows: [[Step]] = [
      [
        (35, any, 1, nil), (36, any, 2, .EADDRNOTAVAIL), (36, any, nil, .EADDRNOTAVAIL),
        (36, any, 1, nil),
      ],
      [
        (35, any, 1, nil), (35, any, 2, nil), (35, any, 1, .EADDRINUSE), (36, any, 1, nil),
        (36, any, 2, nil),
      ],
      [(35, any, 1, nil), (36, lo, nil, nil)],
      [(35, lo, nil, nil), (36, any, 1, nil)],
      [(35, lo, nil, nil), (35, any, 1, .EADDRINUSE)],
      [
        (35, lo, nil, nil), (36, own, nil, .EADDRNOTAVAIL), (36, foreign, nil, .EADDRNOTAVAIL),
        (36, foreign, 1, nil),
      ],
      [(35, any, nil, nil), (36, own, nil, nil)],
      [(35, any, 2, nil), (36, any, 99, .EADDRNOTAVAIL), (36, foreign, 99, .EADDRNOTAVAIL)],
      [(35, [127, 0, 0, 2], nil, nil), (36, lo, nil, nil)],
    ]
    for (number, steps) in rows.enumerated() {
      let socket = try bench.udp()
      for step in steps {
        #expect(call(bench, socket, step.name, step.address, step.index) == step.answer, "row \(number)")
      }
      try bench.sockets.close(socket, host: &bench.host)
    }
  }

  @Test(
    "without an interface and without a way to the group: ENODEV; an address that is gone names what it named"
  )
  func gone() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    #expect(call(bench, socket, 35, [10, 0, 0, 2]) == nil)
    try bench.host.removeAddress(IPv4Address(10, 0, 0, 2))
    #expect(call(bench, socket, 36, [10, 0, 0, 3]) == .EADDRNOTAVAIL)
    #expect(call(bench, socket, 36, [10, 0, 0, 2]) == nil)
    bench.host.setLink(InterfaceIndex(rawValue: 2), up: false)
    for name in [Int32(35), 36] { #expect(call(bench, socket, name, [0, 0, 0, 0]) == .ENODEV) }
  }
}
