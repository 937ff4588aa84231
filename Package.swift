// swift-tools-version: 6.2
import PackageDescription

/// Every target is built with these: strict memory safety, no warning tolerated, and
/// `~Escapable` views (spans over packet bytes).
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("ExistentialAny"),
]

/// The floors, bottom first. A floor may import only floors listed before it.
let floors: [(name: String, imports: [String])] = [
  ("Tables", []),
  ("Digests", []),
  ("UAPI", []),
  ("Wire", ["UAPI"]),
  ("Timers", []),
  ("Trace", ["Timers"]),
  ("SkBuff", ["Wire", "Timers", "Trace"]),
  ("NetNamespace", ["Tables", "UAPI", "Wire", "Timers", "Trace", "SkBuff"]),
  ("Netfilter", ["Tables", "NetNamespace", "SkBuff", "Wire", "Timers"]),
  ("IceHardware", []),
  ("IceModel", ["Tables", "IceHardware", "Wire", "Timers"]),
  ("Ice", ["Tables", "IceHardware", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  (
    "NetDevice",
    ["Tables", "IceHardware", "Ice", "Netfilter", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]
  ),
  ("Neighbour", ["Tables", "NetDevice", "Netfilter", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  (
    "IPv4",
    ["Tables", "Neighbour", "NetDevice", "Netfilter", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]
  ),
  ("Internet", ["IPv4", "Neighbour", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers"]),
  ("InetSocket", ["Tables", "IPv4", "SkBuff", "NetNamespace", "Wire", "Timers"]),
  (
    "UDP",
    [
      "Tables", "InetSocket", "Internet", "IPv4", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers",
      "Trace",
    ]
  ),
  (
    "TCP",
    [
      "Tables", "Digests", "InetSocket", "Internet", "IPv4", "NetDevice", "SkBuff", "NetNamespace", "Wire",
      "Timers",
      "Trace",
    ]
  ),
  (
    "Sockets",
    [
      "Tables", "TCP", "UDP", "InetSocket", "Internet", "IPv4", "Netfilter", "NetDevice", "SkBuff",
      "NetNamespace", "Wire", "Timers", "Trace",
    ]
  ),
  (
    "Shard",
    [
      "Tables", "Sockets", "TCP", "UDP", "InetSocket", "Internet", "IPv4", "NetDevice", "Netfilter", "Ice",
      "IceModel",
      "IceHardware", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace",
    ]
  ),
  ("Services", ["Shard", "Sockets", "TCP", "SkBuff", "NetNamespace", "Wire", "Timers"]),
]

/// Modules with all that they stand on. A target names them all: SwiftPM builds it anew only when a module that it names has
/// changed, and the layout of a value changes with that of a part from a floor far below. What a floor may import is its list
/// above; tools/check holds it to that.
func standingOn(_ names: [String]) -> [Target.Dependency] {
  var found = Set(names)
  for floor in floors.reversed() where found.contains(floor.name) { found.formUnion(floor.imports) }
  return found.sorted().map { .init(stringLiteral: $0) }
}

/// What a floor's tests need that puts a card under it.
let cards = ["IceModel", "NetTestSupport", "DeviceTestSupport"]

/// The tests of a module, and what they need beside it and what it imports: `swift build --target WireTests` builds no
/// floor above Wire. Who names TestSupport needs the whole stack. `Threads` is no module: the tests of SwiftStack that start
/// threads and tasks, which ThreadSanitizer is for.
let allTests: [(name: String, more: [String])] = [
  ("Tables", []), ("Digests", []), ("Wire", []), ("Timers", []), ("Trace", []), ("SkBuff", []),
  ("NetNamespace", []),
  ("IceHardware", []), ("IceModel", []), ("Netfilter", ["Sockets"]),
  ("Ice", ["IceModel", "NetTestSupport"]),
  ("NetDevice", cards),
  ("Neighbour", cards),
  ("IPv4", ["Services", "SwiftStack", "TestSupport"] + cards),
  ("Internet", cards),
  ("InetSocket", ["NetTestSupport"]),
  ("UDP", ["Sockets"] + cards),
  ("TCP", ["Services", "SwiftStack", "TestSupport"]),
  ("Sockets", ["Services", "SwiftStack", "TestSupport"] + cards),
  ("LinuxHost", ["CLinux", "Services", "SwiftStack"]),
  ("Control", ["LinuxHost", "NetNamespace", "IceModel"]),
  ("Shard", ["ShardTestSupport"]), ("Services", ["ShardTestSupport"]),
  ("SwiftStack", ["Services", "Control", "LinuxHost", "TestSupport", "NetTestSupport"]),
  ("Threads", ["SwiftStack", "Services", "Control", "LinuxHost", "TestSupport", "NetTestSupport"]),
  ("Daemon", ["SwiftStack", "Services", "Control", "LinuxHost", "TestSupport"]),
  ("Simulation", []),
]
/// `SWIFTSTACK_TESTS="Wire TCP"`: a package without the other tests, which builds sooner.
let wantedTests = Context.environment["SWIFTSTACK_TESTS"]?.split(separator: " ").map(String.init)
let tests = allTests.filter { wantedTests?.contains($0.name) ?? true }

let package = Package(
  name: "swiftstack",
  products: [
    .library(name: "SwiftStack", targets: ["SwiftStack", "Control", "Daemon"]),
    .executable(name: "swiftstack", targets: ["swiftstack-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
  ],
  targets: floors.map { floor in
    .target(
      name: floor.name, dependencies: standingOn(floor.imports), swiftSettings: settings)
  } + [
    .systemLibrary(
      name: "CMnl", path: "CShims/CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
    .target(name: "CLinux", path: "CShims/CLinux"),
    .target(
      name: "LinuxHost",
      dependencies: ["CMnl", "CLinux"] + standingOn(["IceModel"]),
      swiftSettings: settings),
    // What a stack and its clients say to each other; it knows no stack.
    .target(
      name: "Control", dependencies: ["LinuxHost"] + standingOn(["IceModel"]), swiftSettings: settings),
    .target(
      name: "SwiftStack",
      dependencies: standingOn(floors.map(\.name)) + [
        "Control", "LinuxHost", .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .target(
      name: "Daemon",
      dependencies: standingOn(floors.map(\.name)) + [
        "SwiftStack", "Control", "LinuxHost", .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "swiftstack-cli",
      dependencies: standingOn(floors.map(\.name)) + [
        "SwiftStack", "Control", "Daemon", "LinuxHost",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Sources/swiftstack", swiftSettings: settings),
    // What the tests of the lower floors stand on: memory, and a card.
    .target(
      name: "NetTestSupport", dependencies: standingOn(["NetNamespace"]), path: "Tests/NetTestSupport",
      swiftSettings: settings),
    .target(
      name: "DeviceTestSupport", dependencies: standingOn(["NetDevice", "IceModel"]),
      path: "Tests/DeviceTestSupport", swiftSettings: settings),
    // What the tests of a shard need, and what more those of a stack with threads and sockets.
    .target(
      name: "ShardTestSupport", dependencies: standingOn(["Shard"]), path: "Tests/ShardTestSupport",
      swiftSettings: settings),
    .target(
      name: "TestSupport",
      dependencies: ["ShardTestSupport", "SwiftStack", "Control"] + standingOn(floors.map(\.name)),
      path: "Tests/TestSupport", swiftSettings: settings),
    // Whole stacks and programs under faults, from one seed: `tools/simulate`.
    .target(
      name: "Simulation", dependencies: standingOn(["Shard"]), path: "Tests/Simulation",
      swiftSettings: settings),
    .executableTarget(
      name: "simulator",
      dependencies: [
        "Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ] + standingOn(["Shard"]),
      path: "Tests/Simulator", swiftSettings: settings),
  ]
    + tests.map { name, more in
      let support = more.contains("TestSupport") ? ["ShardTestSupport"] : []
      return .testTarget(
        name: "\(name)Tests", dependencies: standingOn((name == "Threads" ? [] : [name]) + more + support),
        exclude: name == "Simulation" ? ["Scenarios", "goodput.txt"] : [], swiftSettings: settings)
    } + [
      .testTarget(
        name: "NetnsTests", dependencies: [], swiftSettings: settings),
      // What `tools/oracle` compares with the kernel.
      .executableTarget(
        name: "oracle-agent",
        dependencies: ["SwiftStack", "NetTestSupport"] + standingOn(floors.map(\.name)),
        path: "Tests/OracleAgent", swiftSettings: settings),
    ]
)

// `tools/docs` builds the documentation; whoever only uses the library need not fetch what that takes.
if Context.environment["SWIFTSTACK_DOCS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}
