import Foundation
import Simulation
import Testing

@Suite("Simulated stacks under faults")
struct SimulationTests {
  /// Scenarios that failed once, each as small as it could be made; the first line says how.
  static let keptFiles: [URL] = {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Scenarios")
    let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    return (files ?? []).filter { $0.pathExtension == "scenario" }.sorted { $0.path < $1.path }
  }()

  @Test("R scenarios that failed once pass", arguments: keptFiles.map(\.lastPathComponent))
  func kept(_ name: String) throws {
    let file = try #require(Self.keptFiles.first { $0.lastPathComponent == name })
    let scenario = try Scenario(text: String(contentsOf: file, encoding: .utf8))
    #expect(try Simulation(scenario).run() == nil)
  }

  @Test("R one seed is one run, bit for bit", arguments: [1, 7, 39, 4711] as [UInt64])
  func repeats(_ seed: UInt64) throws {
    func frames() throws -> [[UInt8]] {
      let simulation = try Simulation(Scenario(seed: seed))
      var frames: [[UInt8]] = []
      simulation.capture = { frame, _, _ in frames.append(frame.bytes) }
      #expect(simulation.run() == nil)
      return frames
    }
    let first = try frames()
    #expect(first == (try frames()))
    #expect(!first.isEmpty)
  }

  @Test("a scenario is its text")
  func text() throws {
    for seed in 1...200 as ClosedRange<UInt64> {
      let scenario = Scenario(seed: seed)
      #expect(try Scenario(text: scenario.text) == scenario)
    }
  }

  @Test(
    "a line that says nothing is refused, with the word",
    arguments: ["talk out=many", "event do=nothing", "host colour=red", "weather rain", "link delay"])
  func refused(_ line: String) {
    let word =
      line.split(separator: " ").last.map { $0.split(separator: "=").last.map(String.init) ?? "" } ?? ""
    #expect {
      try Scenario(text: line)
    } throws: { error in
      "\(error)".contains(word)
    }
  }
}
