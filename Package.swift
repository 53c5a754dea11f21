// swift-tools-version: 6.2
// The package is the architecture: targets stand bottom-up, one noun each, and arrows point down only.
// Sources/README.md says in one sentence what each target is for.
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

func part(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let package = Package(
  name: "t2d",
  products: [
    .executable(name: "t2d", targets: ["t2d"]),
    .executable(name: "t2-worker", targets: ["t2-worker"]),
    .executable(name: "t2-sandbox", targets: ["t2-sandbox"]),
    .executable(name: "t2ctl", targets: ["t2ctl"]),
    .executable(name: "t2bench", targets: ["t2bench"]),
  ],
  targets: [
    // Level 0: C libraries, one module map each, and the two things every file format needs.
    .systemLibrary(name: "COpenBLAS"),
    .systemLibrary(name: "CLAPACKE"),
    .systemLibrary(name: "CSQLite"),
    .target(name: "CLinux"),
    // Not in the design's table: products of few rows in C, since a Swift function has no vector unit of its own choice.
    .target(name: "CKernels"),
    part("StrictJSON"),
    part("Digests"),

    // Level 1: one importer for each C library.
    part("LinearAlgebra", ["COpenBLAS", "CLAPACKE", "CLinux"]),
    part("SQLite", ["CSQLite"]),
    part("SystemSupport", ["CLinux"]),
    part("Tokenizer", ["StrictJSON"]),
    part("RPCProtocol", ["StrictJSON"]),
    // Not in the design's table: the arithmetic of multipliers (parameter space, rescale, mixing) without BLAS,
    // so that the daemon can validate experts and mixtures and still link no BLAS.
    part("Multipliers"),

    // Level 2
    part("SVF", ["LinearAlgebra", "Multipliers", "SystemSupport"]),
    part("ModelFormats", ["StrictJSON", "Digests", "Multipliers", "SystemSupport"]),
    part("Watcher", ["CLinux", "SystemSupport"]),
    part("RPCServer", ["CLinux", "RPCProtocol", "StrictJSON", "SystemSupport"]),
    part("RPCClient", ["CLinux", "RPCProtocol", "StrictJSON", "SystemSupport"]),
    part("Sandbox", ["StrictJSON", "SystemSupport"]),

    // Level 3
    part("Transformer", ["CKernels", "LinearAlgebra", "Multipliers", "SVF", "ModelFormats", "Tokenizer"]),
    part("Experts", ["ModelFormats", "Multipliers", "StrictJSON", "Digests"]),
    part("Evaluation", ["Sandbox", "StrictJSON", "Digests", "SystemSupport"]),
    part("WorkerProtocol", ["RPCProtocol", "StrictJSON", "Multipliers"]),

    // Level 4
    part(
      "Adaptation",
      [
        "Transformer", "Experts", "Evaluation", "Sandbox", "SVF", "LinearAlgebra", "Multipliers", "StrictJSON",
        "Tokenizer",
      ]),
    part(
      "Registry",
      [
        "SQLite", "Experts", "Evaluation", "WorkerProtocol", "Multipliers", "StrictJSON", "Digests",
        "SystemSupport",
      ]),

    // Level 5
    part(
      "Training",
      [
        "Adaptation", "Evaluation", "Sandbox", "Transformer", "ModelFormats", "Multipliers", "LinearAlgebra",
        "StrictJSON",
      ]),

    // Level 6
    part(
      "Worker",
      [
        "Training", "Adaptation", "Transformer", "Experts", "Evaluation", "Sandbox", "WorkerProtocol", "ModelFormats",
        "Tokenizer", "SVF", "Multipliers", "LinearAlgebra", "StrictJSON", "Digests",
        "SystemSupport", "CLinux", "RPCProtocol",
      ]),
    part(
      "Daemon",
      [
        "Registry", "Watcher", "RPCServer", "RPCProtocol", "Experts", "Evaluation", "Sandbox",
        "WorkerProtocol", "ModelFormats", "Multipliers", "StrictJSON", "Digests", "SystemSupport",
        "SQLite", "CLinux",
      ]),
    part(
      "ControlCommands",
      ["Experts", "ModelFormats", "RPCClient", "RPCProtocol", "StrictJSON", "SystemSupport", "CLinux"]),
    part(
      "Benchmarks",
      [
        "LinearAlgebra", "SVF", "Multipliers", "ModelFormats", "Transformer", "Tokenizer",
        "Evaluation", "Experts", "Adaptation", "RPCClient", "RPCServer", "RPCProtocol", "StrictJSON",
        "SystemSupport", "CLinux", "Worker",
      ]),

    // Level 7
    program("t2d", ["Daemon"]),
    program("t2-worker", ["Worker"]),
    // In C and without threads, so that it may fork; Sandbox starts it.
    .executableTarget(name: "t2-sandbox"),
    program("t2ctl", ["ControlCommands"]),
    program("t2bench", ["Benchmarks"]),

    // Tests mirror the targets; what several of them need is in a target of its own.
    .target(
      name: "TestSupport", dependencies: ["StrictJSON", "SystemSupport"], path: "Tests/TestSupport",
      swiftSettings: settings),
    tests("StrictJSON", ["StrictJSON", "TestSupport"]),
    tests("Digests", ["Digests"]),
    tests("LinearAlgebra", ["LinearAlgebra", "TestSupport"]),
    tests("SQLite", ["SQLite", "SystemSupport"]),
    tests("SystemSupport", ["SystemSupport", "CLinux"]),
    tests("Tokenizer", ["Tokenizer", "StrictJSON", "ModelFormats", "TestSupport"], resources: [.copy("Fixtures")]),
    tests("RPCProtocol", ["RPCProtocol", "StrictJSON", "TestSupport"]),
    tests("Multipliers", ["Multipliers", "TestSupport"]),
    tests("SVF", ["SVF", "Multipliers", "LinearAlgebra", "ModelFormats", "SystemSupport", "TestSupport"]),
    tests(
      "ModelFormats", ["ModelFormats", "Multipliers", "StrictJSON", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    tests("Watcher", ["Watcher", "SystemSupport"]),
    tests(
      "RPCServer",
      ["RPCServer", "RPCClient", "RPCProtocol", "StrictJSON", "SystemSupport", "CLinux"],
      resources: [.copy("Golden")]),
    tests(
      "Transformer",
      [
        "Transformer", "ModelFormats", "SVF", "Multipliers", "LinearAlgebra", "Tokenizer",
        "Experts", "StrictJSON", "SystemSupport", "CKernels",
      ],
      resources: [.copy("Fixtures")]),
    tests(
      "Experts",
      ["Experts", "ModelFormats", "Multipliers", "StrictJSON", "Digests", "SystemSupport", "TestSupport"]),
    tests("Sandbox", ["Sandbox", "StrictJSON", "SystemSupport", "TestSupport"]),
    tests(
      "Evaluation", ["Evaluation", "Sandbox", "StrictJSON", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    tests("WorkerProtocol", ["WorkerProtocol", "Multipliers", "StrictJSON"]),
    tests("Adaptation", ["Adaptation", "Evaluation", "Multipliers", "StrictJSON"]),
    tests("Training", ["Training", "Transformer", "ModelFormats", "StrictJSON", "SystemSupport", "TestSupport"]),
    tests(
      "Registry",
      [
        "Registry", "SQLite", "Experts", "ModelFormats", "Multipliers", "WorkerProtocol",
        "StrictJSON", "Digests", "SystemSupport",
      ]),
    tests(
      "Daemon",
      [
        "Daemon", "Registry", "RPCClient", "RPCProtocol", "StrictJSON", "SystemSupport",
        "ModelFormats", "WorkerProtocol", "Experts", "Multipliers", "Digests", "Sandbox", "TestSupport",
      ]),
    tests(
      "Worker",
      [
        "Worker", "WorkerProtocol", "LinearAlgebra", "ModelFormats", "Experts", "Multipliers", "Adaptation",
        "Evaluation", "Training", "Transformer", "Digests", "Sandbox", "StrictJSON", "SystemSupport",
      ]),
    tests(
      "ControlCommands",
      [
        "ControlCommands", "ModelFormats", "RPCServer", "RPCProtocol", "StrictJSON", "SystemSupport", "CLinux",
      ]),
    // The real programs on the real model, from the outside: a socket, a directory, a command line.
    tests(
      "EndToEnd",
      ["RPCClient", "RPCProtocol", "StrictJSON", "SystemSupport"], resources: [.copy("Fixtures")]),
  ]
)
