import LinuxHost
import Testing

@testable import Control

/// Which stack a client means.
@Suite struct ControlPathTests {
  static func endpoint(_ interface: String, _ namespace: UInt64) -> ControlEndpoint {
    ControlEndpoint(
      interface: interface, namespace: namespace, path: "/run/swiftstack/\(interface):\(namespace).sock")
  }

  @Test("the path has the interface and the namespace in it, and is read back")
  func roundTrip() throws {
    let path = ControlPath.socket(
      of: try InterfaceName("tap0"), namespace: 4_026_531_840, in: "/run/swiftstack")
    #expect(path == "/run/swiftstack/tap0:4026531840.sock")
    let file = String(path.dropFirst("/run/swiftstack/".count))
    #expect(
      ControlPath.endpoint(file: file, in: "/run/swiftstack") == Self.endpoint("tap0", 4_026_531_840))
    for other in ["tap0.sock", "tap0:1.sock.lock", "tap0:x.sock", "tap0:.sock", ":", ".sock", "tap0:-1.sock"]
    {
      #expect(ControlPath.endpoint(file: other, in: "/run/swiftstack") == nil, "\(other)")
    }
  }

  @Test("one's own namespace goes before others; what is asked for by name is taken wherever it is")
  func choice() throws {
    let live = [Self.endpoint("tap0", 1), Self.endpoint("tap0", 2), Self.endpoint("tap1", 2)]
    func choose(_ interface: String?, _ namespace: UInt64?, own: UInt64) throws(ControlError) -> String {
      try ControlPath.choose(interface: interface, namespace: namespace, own: own, among: live).path
    }
    #expect(try choose(nil, nil, own: 1) == live[0].path)
    #expect(try choose("tap0", nil, own: 1) == live[0].path)
    #expect(try choose("tap0", nil, own: 2) == live[1].path)
    #expect(try choose("tap0", 2, own: 1) == live[1].path)
    #expect(try choose("tap1", nil, own: 9) == live[2].path)
    let two = #expect(throws: ControlError.self) { try choose(nil, nil, own: 2) }
    #expect(two?.description.contains("tap0, tap1") == true)
    let same = #expect(throws: ControlError.self) { try choose("tap0", nil, own: 9) }
    #expect(same?.description.contains("--netns") == true)
    let none = #expect(throws: ControlError.self) { try choose("tap1", 1, own: 1) }
    #expect(none?.description.contains("no stack is running on tap1 in that network namespace") == true)
    let nothing = #expect(throws: ControlError.self) {
      _ = try ControlPath.choose(interface: nil, namespace: nil, own: 1, among: [])
    }
    #expect(nothing?.description.contains("swiftstack up") == true)
  }
}
