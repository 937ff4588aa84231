// swift-tools-version: 6.2
import PackageDescription

// Programs that use the library as anybody's would: a package of its own, which names nothing but the product.
let package = Package(
  name: "examples",
  dependencies: [.package(name: "swiftstack", path: "../..")],
  targets: ["two-stacks", "http-server", "echo-server", "file-transfer"].map { name in
    .executableTarget(
      name: name, dependencies: [.product(name: "SwiftStack", package: "swiftstack")],
      swiftSettings: [.strictMemorySafety(), .treatAllWarnings(as: .error)])
  }
)
