import InetSocket
import NetNamespace
import Synchronization
import Tables
import Testing
import Wire

@testable import UDP

/// What other shards see of a shard's datagram sockets while it works on them.
@Suite struct DatagramDirectoryTests {
  private static let any = SocketAddress(.any, port: 700)

  private final class Watch: Sendable {
    let isOver = Atomic(false)
  }

  @Test("D12 a socket that is put under its key again is never seen without one")
  func rehash() async {
    let directory = DatagramDirectory(hash: SipHash(key: (1, 2)), shardCount: 8)
    var demux = DemuxTable(secret: (3, 4))
    demux.shared = DirectoryEntries(directory, shard: 5)
    demux.insert(0, local: Self.any, remote: nil, reusePort: true)
    let watch = Watch()
    let lost = Task.detached {
      var lost = 0
      while !watch.isOver.load(ordering: .relaxed) {
        if directory.shards(with: DatagramKey(Self.any, nil, .none)) != 1 << 5 { lost += 1 }
      }
      return lost
    }
    for _ in 0..<200_000 { demux.insert(0, local: Self.any, remote: nil, reusePort: true) }
    watch.isOver.store(true, ordering: .relaxed)
    #expect(await lost.value == 0)
    demux.remove(0)
    #expect(directory.shards(with: DatagramKey(Self.any, nil, .none)) == 0)
  }
}
