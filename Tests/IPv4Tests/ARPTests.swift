import IPv4
import NetNamespace
import Neighbour
import Testing
import Timers
import Wire

@Suite struct ARPTests {
  /// RFC 826 packet format, by hand.
  static func arp(
    _ operation: UInt8, _ senderMAC: [UInt8], _ sender: [UInt8], _ targetMAC: [UInt8], _ target: [UInt8],
    to: [UInt8] = [255, 255, 255, 255, 255, 255]
  ) -> [UInt8] {
    to + senderMAC + [8, 6, 0, 1, 8, 0, 6, 4, 0, operation] + senderMAC + sender + targetMAC + target
      + [UInt8](repeating: 0, count: 18)
  }
  static let ownMAC: [UInt8] = [2, 0, 0, 0, 0, 2]
  static let peerMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
  static let noMAC: [UInt8] = [0, 0, 0, 0, 0, 0]

  @Test("R ARP request is broadcast with our addresses; the answer releases the packet") func request() {
    let bench = IPv4Bench(knowsPeer: false)
    #expect(bench.send([1, 2, 3, 4]) == .success)
    #expect(bench.frames() == [Self.arp(1, Self.ownMAC, [10, 0, 0, 2], Self.noMAC, [10, 0, 0, 1])])
    bench.deliver(Self.arp(2, Self.peerMAC, [10, 0, 0, 1], Self.ownMAC, [10, 0, 0, 2], to: Self.ownMAC))
    let frames = bench.frames()
    #expect(frames.count == 1)
    #expect(frames.first?[0..<14] == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0])
    #expect(bench.neighbourState(IPv4Bench.peer) == .reachable)
  }

  @Test("R ARP request for us is answered, and who asked is remembered as STALE") func reply() {
    let bench = IPv4Bench(knowsPeer: false)
    bench.deliver(Self.arp(1, Self.peerMAC, [10, 0, 0, 1], Self.noMAC, [10, 0, 0, 2]))
    #expect(
      bench.frames() == [
        Self.arp(2, Self.ownMAC, [10, 0, 0, 2], Self.peerMAC, [10, 0, 0, 1], to: Self.peerMAC)
      ])
    #expect(bench.neighbourState(IPv4Bench.peer) == .stale)
    #expect(bench.count(.ArpOutReplies) == 1)
  }

  @Test("N5 a request for another host is not answered and makes no entry") func notForUs() {
    let bench = IPv4Bench(knowsPeer: false)
    bench.deliver(Self.arp(1, Self.peerMAC, [10, 0, 0, 1], Self.noMAC, [10, 0, 0, 3]))
    #expect(bench.frames().isEmpty)
    #expect(bench.neighbourState(IPv4Bench.peer) == nil)
  }

  @Test("N4 65,536 requesters from outside our network make no entry") func strangers() {
    let bench = IPv4Bench()
    for low in stride(from: 0, to: 65536, by: 64) {
      bench.deliver(
        Self.arp(1, Self.peerMAC, [172, 16, UInt8(low >> 8), UInt8(low & 255)], Self.noMAC, [10, 0, 0, 2]))
      _ = bench.frames()
    }
    #expect(bench.neighbourCount == 1)
  }

  @Test("RFC 5227 2.1.1 a probe for our address is answered") func probe() {
    let bench = IPv4Bench(knowsPeer: false)
    bench.deliver(Self.arp(1, Self.peerMAC, [0, 0, 0, 0], Self.noMAC, [10, 0, 0, 2]))
    #expect(
      bench.frames() == [
        Self.arp(2, Self.ownMAC, [10, 0, 0, 2], Self.peerMAC, [0, 0, 0, 0], to: Self.peerMAC)
      ])
  }

  @Test("RFC 5227 2.3 two announcements, two seconds apart") func announcements() {
    let bench = IPv4Bench(knowsPeer: false)
    let announcement = Self.arp(1, Self.ownMAC, [10, 0, 0, 2], Self.noMAC, [10, 0, 0, 2])
    bench.ip.announceAddresses(link: &bench.link, net: &bench.net)
    #expect(bench.frames() == [announcement])
    bench.advance(.milliseconds(1999))
    #expect(bench.frames().isEmpty)
    bench.advance(.milliseconds(2))
    #expect(bench.frames() == [announcement])
    bench.advance(.seconds(60))
    #expect(bench.frames().isEmpty)
  }

  @Test("RFC 5227 2.4 our address is defended, at most once in ten seconds") func conflict() {
    let bench = IPv4Bench(knowsPeer: false)
    let thief = Self.arp(1, [2, 0, 0, 0, 0, 9], [10, 0, 0, 2], Self.noMAC, [10, 0, 0, 2])
    let announcement = Self.arp(1, Self.ownMAC, [10, 0, 0, 2], Self.noMAC, [10, 0, 0, 2])
    bench.deliver(thief)
    #expect(bench.frames() == [announcement])
    bench.deliver(thief)
    bench.advance(.seconds(9))
    bench.deliver(thief)
    #expect(bench.frames().isEmpty)
    bench.advance(.seconds(2))
    bench.deliver(thief)
    #expect(bench.frames() == [announcement])
    let conflicts = bench.conflicts()
    #expect(conflicts.map(\.address) == [IPv4Bench.own])
    #expect(conflicts.map(\.other) == [MACAddress(0x0200_0000_0009)])
  }

  @Test("N2 a neighbour that does not answer gives EHOSTUNREACH after 3 s, to the socket's addresses")
  func failed() {
    let bench = IPv4Bench(knowsPeer: false)
    bench.send([0x13, 0x88, 0x00, 0x35, 0, 8, 0, 0])
    bench.advance(.milliseconds(2900))
    #expect(bench.errors().isEmpty)
    bench.advance(.milliseconds(200))
    let errors = bench.errors()
    #expect(errors.count == 1)
    #expect(errors.first?.errno == .EHOSTUNREACH)
    #expect(errors.first?.local == SocketAddress(IPv4Bench.own, port: 5000))
    #expect(errors.first?.remote == SocketAddress(IPv4Bench.peer, port: 53))
    #expect(bench.frames().count == 3)
  }

  @Test("R ARP of another hardware type, or cut short, or from a group address is ignored") func malformed() {
    let bench = IPv4Bench(knowsPeer: false)
    var wrong = Self.arp(1, Self.peerMAC, [10, 0, 0, 1], Self.noMAC, [10, 0, 0, 2])
    wrong[15] = 7
    bench.deliver(wrong)
    var group = Self.arp(1, [3, 0, 0, 0, 0, 1], [10, 0, 0, 1], Self.noMAC, [10, 0, 0, 2])
    group[6] = 2
    bench.deliver(group)
    #expect(bench.frames().isEmpty)
    #expect(bench.neighbourCount == 0)
  }

  @Test("R ARP a request with hardware type 6 (IEEE 802) is answered, with type 1") func ieee802() {
    let bench = IPv4Bench(knowsPeer: false)
    var request = Self.arp(1, Self.peerMAC, [10, 0, 0, 1], Self.noMAC, [10, 0, 0, 2])
    request[15] = 6
    bench.deliver(request)
    #expect(bench.frames().map { Array($0[14..<22]) } == [[0, 1, 8, 0, 6, 4, 0, 2]])
    #expect(bench.neighbourCount == 1)
  }
}
