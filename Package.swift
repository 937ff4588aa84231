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
  ("Wire", []),
  ("Timers", []),
  ("Trace", ["Timers"]),
  ("SkBuff", ["Wire", "Timers", "Trace"]),
  ("NetNamespace", ["Tables", "Wire", "Timers", "Trace", "SkBuff"]),
  ("IceHardware", []),
  ("IceModel", ["Tables", "IceHardware", "Wire", "Timers"]),
  ("Ice", ["Tables", "IceHardware", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  ("NetDevice", ["Tables", "Ice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  ("Neighbour", ["Tables", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  ("IPv4", ["Tables", "Neighbour", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  ("Internet", ["IPv4", "Neighbour", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers"]),
  ("UDP", ["Tables", "Internet", "IPv4", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  ("TCP", ["Tables", "Internet", "IPv4", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]),
  (
    "Sockets",
    ["TCP", "UDP", "Internet", "IPv4", "NetDevice", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"]
  ),
]

/// The tests of a module, and what they need beside it and what it imports: `swift build --target WireTests` builds no
/// floor above Wire. Who names TestSupport needs the whole stack.
let tests: [(name: String, more: [String])] = [
  ("Tables", []), ("Wire", []), ("Timers", []), ("Trace", []), ("SkBuff", []), ("NetNamespace", []),
  ("IceHardware", []), ("IceModel", []),
  ("Ice", ["IceModel"]),
  ("NetDevice", ["IceModel", "IceHardware"]),
  ("Neighbour", ["IceModel", "IceHardware", "Ice"]),
  ("IPv4", ["IceModel", "IceHardware", "Ice", "SwiftStack", "TestSupport"]),
  ("Internet", ["IceHardware", "Ice", "Trace", "Timers"]),
  ("UDP", ["IceModel", "IceHardware", "Ice", "Sockets"]),
  ("TCP", ["IceModel", "SwiftStack", "TestSupport"]),
  ("Sockets", ["IceHardware", "Ice", "SwiftStack", "TestSupport"]),
  ("LinuxHost", ["CLinux", "IceModel", "SwiftStack", "Timers", "Wire"]),
  ("SwiftStack", ["LinuxHost", "TestSupport"] + floors.map(\.name)),
]

let package = Package(
  name: "swiftstack",
  products: [
    .library(name: "SwiftStack", targets: ["SwiftStack"]),
    .executable(name: "swiftstack", targets: ["swiftstack-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
  ],
  targets: floors.map { floor in
    .target(
      name: floor.name, dependencies: floor.imports.map { .init(stringLiteral: $0) },
      swiftSettings: settings)
  } + [
    .systemLibrary(
      name: "CMnl", path: "CShims/CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
    .target(name: "CLinux", path: "CShims/CLinux"),
    .target(
      name: "LinuxHost",
      dependencies: [
        "CMnl", "CLinux", "IceModel", "Wire", "Timers",
      ],
      swiftSettings: settings),
    .target(
      name: "SwiftStack",
      dependencies: floors.map { .init(stringLiteral: $0.name) } + [
        "LinuxHost", .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "swiftstack-cli",
      dependencies: [
        "SwiftStack", "LinuxHost", "Wire", "Trace",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Sources/swiftstack", swiftSettings: settings),
    .target(
      name: "TestSupport",
      dependencies: ["SwiftStack", "IceModel", "SkBuff", "NetNamespace", "Wire", "Timers", "Trace"],
      path: "Tests/TestSupport", swiftSettings: settings),
  ]
    + tests.map { name, more in
      let own = floors.first { $0.name == name }?.imports ?? []
      return .testTarget(
        name: "\(name)Tests", dependencies: ([name] + own + more).map { .init(stringLiteral: $0) },
        swiftSettings: settings)
    } + [
      .testTarget(
        name: "NetnsTests", dependencies: [], swiftSettings: settings)
    ]
)
