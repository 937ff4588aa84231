// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .strictMemorySafety(), .treatAllWarnings(as: .error), .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("ExistentialAny"),
]

/// One executable for each thing that takes bytes from strangers. libFuzzer brings `main`, so each is a library with
/// one function; `tools/fuzz/run` builds them with `--sanitize`.
let package = Package(
  name: "fuzz",
  dependencies: [.package(name: "swiftstack", path: "../..")],
  targets: [
    .target(
      name: "FuzzSupport", dependencies: [.product(name: "SwiftStack", package: "swiftstack")],
      swiftSettings: settings)
  ]
    + ["FuzzWire", "FuzzIP", "FuzzControl", "FuzzReceive"].map { name in
      .executableTarget(
        name: name, dependencies: ["FuzzSupport", .product(name: "SwiftStack", package: "swiftstack")],
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
    }
)
