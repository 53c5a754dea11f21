// swift-tools-version: 6.2
// The package is the architecture: targets stand bottom-up, one noun each, and arrows point down only.
// A line of code knows its process by its folder; Sources/README.md says in one sentence what each target is for.
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

/// Tests on the real model are built for release, since what they test would be too slow; they themselves need not be fast,
/// and optimizing them would take half of the build.
let unoptimized: [SwiftSetting] = [.unsafeFlags(["-Onone"], .when(configuration: .release))]

/// What computes for every test on a tiny model: unoptimized, one exponential was two thirds of their time.
/// Its preconditions and overflow checks stay.
let optimized: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// A folder below Sources, and the one of the same name below Tests that mirrors it.
struct Folder {
  let name: String

  func system(_ target: String) -> Target {
    .systemLibrary(name: target, path: "Sources/\(name)/\(target)")
  }

  func c(_ target: String, and settings: [CSetting] = []) -> Target {
    .target(name: target, path: "Sources/\(name)/\(target)", cSettings: settings)
  }

  func part(
    _ target: String, _ dependencies: [Target.Dependency] = [], and more: [SwiftSetting] = []
  ) -> Target {
    .target(
      name: target, dependencies: dependencies, path: "Sources/\(name)/\(target)", swiftSettings: settings + more)
  }

  func program(_ target: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
      name: target, dependencies: dependencies, path: "Sources/\(name)/\(target)", swiftSettings: settings)
  }

  func support(_ target: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: target, dependencies: dependencies, path: "Tests/\(name)/\(target)", swiftSettings: settings)
  }

  func tests(_ target: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
      name: target + "Tests", dependencies: dependencies, path: "Tests/\(name)/\(target)Tests",
      resources: resources, swiftSettings: settings + unoptimized)
  }
}

/// What both processes and the client stand on.
let shared = Folder(name: "Shared")
/// The bank and its daemon, t2d: links no BLAS, never computes.
let bank = Folder(name: "Bank")
/// The model and its worker, t2-worker: everything that computes.
let model = Folder(name: "Model")
/// The command line, t2ctl: links neither BLAS nor SQLite.
let client = Folder(name: "Client")
/// What is started by its name, and what measures it.
let programs = Folder(name: "Programs")
/// Below Tests only: what feeds our readers with hostile bytes.
let fuzz = Folder(name: "Fuzz")

/// Needs libFuzzer of the toolchain, which links with its sanitizers only: `etc/fuzz` builds it, in a build of its own.
let fuzzer =
  Context.environment["T2D_FUZZ"] == nil
  ? []
  : [
    Target.executableTarget(
      name: "t2fuzz", dependencies: ["FuzzReaders", "SystemSupport"], path: "Tests/Fuzz/t2fuzz", swiftSettings: settings
    )
  ]

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
    shared.c("CLinux"),
    shared.part("StrictJSON"),
    shared.part("Digests"),
    shared.part("FileKinds"),
    shared.part("SystemSupport", ["CLinux"]),
    shared.part("Records", ["SystemSupport", "StrictJSON"]),
    // Without BLAS, so that the daemon can validate experts and mixtures and still link none.
    shared.part("Multipliers"),
    // What a search of mixtures is, without what scores them: also the names and summaries of its methods for all who
    // offer them.
    shared.part("Search", ["Multipliers", "StrictJSON"]),
    // The words and settings of the domain, each declared once.
    shared.part("Settings", ["Search", "Records", "Multipliers", "StrictJSON"]),
    // What searches, checks, trainings and evaluations find: from the worker to the catalogue and to clients.
    shared.part("Results", ["Records", "Search", "Settings", "Multipliers", "StrictJSON"]),
    shared.part("RPCProtocol", ["Results", "Records", "Settings", "Multipliers", "StrictJSON"]),
    shared.part("ModelFormats", ["FileKinds", "StrictJSON", "Digests", "Multipliers", "SystemSupport"]),
    shared.part("Experts", ["FileKinds", "ModelFormats", "Multipliers", "Records", "StrictJSON", "Digests"]),
    shared.part("Sandbox", ["Records", "SystemSupport"]),
    shared.part(
      "Evaluation",
      ["FileKinds", "Results", "Sandbox", "Settings", "Records", "StrictJSON", "Digests", "SystemSupport"]),
    shared.part("WorkerProtocol", ["Results", "Records", "Settings", "StrictJSON", "Multipliers"]),

    bank.system("CSQLite"),
    bank.part("SQLite", ["CSQLite"]),
    bank.part("Watcher", ["CLinux", "FileKinds", "SystemSupport"]),
    bank.part("RPCServer", ["CLinux", "RPCProtocol", "StrictJSON", "SystemSupport"]),
    bank.part(
      "Registry",
      [
        "SQLite", "RPCProtocol", "WorkerProtocol", "Experts", "Results", "Records", "Settings", "Multipliers",
        "StrictJSON", "Digests", "SystemSupport",
      ]),
    bank.part(
      "Daemon",
      [
        "Registry", "Watcher", "RPCServer", "RPCProtocol", "Experts", "ModelFormats", "Evaluation", "Sandbox",
        "WorkerProtocol", "Results", "Settings", "Records", "Multipliers", "StrictJSON", "Digests", "SystemSupport",
        "SQLite",
      ]),

    model.system("COpenBLAS"),
    model.system("CLAPACKE"),
    // Products of few rows, in C, since a Swift function has no vector unit of its own choice. Optimized in debug builds
    // too: what is tested is the code that runs, and its sums are fused or not by the optimizer.
    model.c("CKernels", and: [.unsafeFlags(["-O2"], .when(configuration: .debug))]),
    model.part("LinearAlgebra", ["COpenBLAS", "CLAPACKE"]),
    model.part("Tokenizer", ["ModelFormats", "Settings", "StrictJSON"]),
    model.part("SVF", ["CKernels", "LinearAlgebra", "Multipliers", "Digests", "SystemSupport"]),
    // What searches, checks, trainings and answers ask of a model, whatever computes it.
    model.part(
      "Engines", ["LinearAlgebra", "Multipliers", "ModelFormats", "Tokenizer", "Settings", "SystemSupport"]),
    // Engines in processes of their own; what computes here is none of it.
    model.part(
      "EngineLink",
      [
        "Engines", "Experts", "Results", "Tokenizer", "ModelFormats", "LinearAlgebra", "Settings", "Records",
        "StrictJSON",
        "Digests", "Multipliers", "SystemSupport", "CLinux",
      ]),
    model.part(
      "Transformer",
      [
        "Engines", "CKernels", "LinearAlgebra", "Multipliers", "SVF", "ModelFormats", "Tokenizer", "Settings",
        "SystemSupport",
      ],
      and: optimized),
    model.part(
      "Adaptation",
      [
        "Search", "Engines", "Evaluation", "Sandbox", "LinearAlgebra", "Multipliers", "Settings", "StrictJSON",
        "Tokenizer",
      ]),
    model.part(
      "Training",
      [
        "Adaptation", "Search", "Evaluation", "Sandbox", "Results", "Records", "Settings", "Engines", "Transformer",
        "ModelFormats", "Multipliers", "LinearAlgebra", "Digests", "StrictJSON",
      ]),
    model.part(
      "Worker",
      [
        "Training", "Adaptation", "Search", "Engines", "EngineLink", "Transformer", "SVF", "Experts", "Evaluation",
        "Sandbox", "WorkerProtocol", "Results", "ModelFormats", "Tokenizer", "Multipliers", "LinearAlgebra", "Settings",
        "Records", "StrictJSON",
        "Digests", "SystemSupport", "CLinux",
      ]),

    client.part("RPCClient", ["CLinux", "RPCProtocol", "Records", "StrictJSON", "SystemSupport"]),
    client.part("ResultText", ["RPCProtocol", "Results", "Records", "StrictJSON"]),
    // Answers in, HTML and SVG out: reads no file and opens no socket.
    client.part("Report", ["ResultText", "RPCProtocol", "Results", "Settings", "Search"]),
    client.part(
      "ControlCommands",
      [
        "Report", "ResultText", "Experts", "ModelFormats", "RPCClient", "RPCProtocol", "Results", "Records", "Settings",
        "Search", "StrictJSON", "SystemSupport", "CLinux",
      ]),

    programs.program("t2d", ["Daemon"]),
    programs.program("t2-worker", ["Worker"]),
    // In C and without threads, so that it may fork; Sandbox starts it.
    .executableTarget(name: "t2-sandbox", path: "Sources/Programs/t2-sandbox"),
    programs.program("t2ctl", ["ControlCommands"]),
    programs.program("t2bench", ["Benchmarks"]),
    programs.part(
      "Benchmarks",
      [
        "CKernels", "LinearAlgebra", "SVF", "Multipliers", "ModelFormats", "Engines", "Transformer", "Adaptation",
        "Search", "RPCClient", "RPCProtocol", "Registry", "Settings", "StrictJSON", "SystemSupport", "CLinux",
      ]),

    // What tests of several targets need.
    shared.support("TestSupport", ["Records", "Search", "Settings", "StrictJSON", "SystemSupport", "CLinux"]),
    shared.tests("StrictJSON", ["StrictJSON", "TestSupport"]),
    shared.tests("Records", ["Records", "StrictJSON"]),
    shared.tests("FileKinds", ["FileKinds"]),
    shared.tests("Digests", ["Digests"]),
    shared.tests("SystemSupport", ["SystemSupport", "CLinux"]),
    shared.tests("Multipliers", ["Multipliers", "TestSupport"]),
    shared.tests("Search", ["Search", "Multipliers", "StrictJSON", "TestSupport"]),
    shared.tests("RPCProtocol", ["RPCProtocol", "Records", "StrictJSON", "TestSupport"]),
    shared.tests("Settings", ["Settings", "Records", "Multipliers", "StrictJSON"]),
    shared.tests(
      "ModelFormats", ["ModelFormats", "Multipliers", "StrictJSON", "Digests", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    shared.tests(
      "Experts",
      ["Experts", "ModelFormats", "Multipliers", "StrictJSON", "Digests", "SystemSupport", "TestSupport"]),
    shared.tests("Sandbox", ["Sandbox", "Records", "SystemSupport", "TestSupport"]),
    shared.tests(
      "Evaluation", ["Evaluation", "Sandbox", "Settings", "Records", "StrictJSON", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    shared.tests(
      "WorkerProtocol", ["WorkerProtocol", "Results", "Records", "Settings", "Multipliers", "StrictJSON"],
      resources: [.copy("Fixtures")]),

    bank.tests("SQLite", ["SQLite", "SystemSupport"]),
    bank.tests("Watcher", ["Watcher", "SystemSupport"]),
    bank.tests(
      "RPCServer",
      ["RPCServer", "RPCClient", "RPCProtocol", "Records", "StrictJSON", "SystemSupport", "CLinux", "TestSupport"],
      resources: [.copy("Golden")]),
    bank.tests(
      "Registry",
      [
        "Registry", "SQLite", "Multipliers", "Records", "Results", "RPCProtocol", "Settings", "TestSupport",
        "WorkerProtocol", "StrictJSON", "Digests", "SystemSupport",
      ]),
    bank.tests(
      "Daemon",
      [
        "Daemon", "Registry", "Watcher", "RPCClient", "RPCProtocol", "StrictJSON", "SystemSupport",
        "ModelFormats", "WorkerProtocol", "Results", "Records", "Settings", "Experts", "Multipliers", "Digests",
        "Sandbox",
        "TestSupport",
      ]),

    // A random model of two layers, on which whole jobs run within a second in a debug build.
    model.support(
      "ModelSamples", ["Digests", "ModelFormats", "Multipliers", "StrictJSON", "SystemSupport", "WorkerProtocol"]),
    // An engine without a model, which misbehaves as it is told.
    model.support("FakeEngine", ["StrictJSON", "Digests", "SystemSupport", "CLinux"]),
    model.tests(
      "EngineLink",
      [
        "EngineLink", "FakeEngine", "Settings", "Multipliers", "StrictJSON", "Digests", "SystemSupport",
        "TestSupport",
      ]),
    model.tests("LinearAlgebra", ["LinearAlgebra", "TestSupport"]),
    model.tests(
      "Tokenizer", ["Tokenizer", "Settings", "StrictJSON", "ModelFormats", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    model.tests("SVF", ["SVF", "Multipliers", "LinearAlgebra", "ModelFormats", "SystemSupport", "TestSupport"]),
    model.tests(
      "Transformer",
      [
        "Transformer", "Engines", "ModelFormats", "Multipliers", "LinearAlgebra", "Settings", "Tokenizer", "StrictJSON",
        "CKernels", "SVF", "SystemSupport", "TestSupport",
      ],
      resources: [.copy("Fixtures")]),
    model.tests(
      "Adaptation", ["Adaptation", "Search", "Multipliers", "StrictJSON", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),
    model.tests(
      "Training", ["Training", "Transformer", "ModelFormats", "Results", "Settings", "SystemSupport", "TestSupport"]),
    model.tests(
      "Worker",
      [
        "Worker", "WorkerProtocol", "LinearAlgebra", "ModelFormats", "Experts", "Multipliers", "Adaptation", "Search",
        "Evaluation", "Training", "Engines", "EngineLink", "FakeEngine", "Transformer", "SVF", "Sandbox", "Records",
        "Results", "Settings", "StrictJSON",
        "Digests", "SystemSupport", "ModelSamples", "TestSupport",
      ]),

    client.tests("Report", ["Report", "RPCProtocol", "Records", "StrictJSON", "TestSupport"]),
    client.tests(
      "ControlCommands",
      [
        "ControlCommands", "ModelFormats", "RPCServer", "RPCProtocol", "Records", "Search", "Settings", "StrictJSON",
        "SystemSupport", "TestSupport",
      ]),
    programs.tests("Benchmarks", ["Benchmarks", "StrictJSON", "SystemSupport"]),
    // The daemon and its worker in one process, before recorded talks and before the store of an earlier version.
    programs.tests(
      "Golden",
      [
        "Daemon", "Worker", "LinearAlgebra", "ModelFormats", "ModelSamples", "RPCClient", "RPCProtocol", "Records",
        "Results", "SQLite", "StrictJSON", "SystemSupport", "TestSupport", "CLinux",
      ]),
    // The real programs on the real model, from the outside: a socket, a directory, a command line.
    programs.tests(
      "EndToEnd",
      ["ModelFormats", "ModelSamples", "RPCClient", "StrictJSON", "SystemSupport", "TestSupport"],
      resources: [.copy("Fixtures")]),

    fuzz.support(
      "FuzzReaders",
      [
        "EngineLink", "Evaluation", "Experts", "ModelFormats", "RPCProtocol", "Registry", "Tokenizer", "WorkerProtocol",
        "Multipliers", "Settings", "StrictJSON", "Digests", "SystemSupport", "TestSupport",
      ]),
    fuzz.tests("FuzzReaders", ["FuzzReaders", "SystemSupport", "TestSupport"]),
  ] + fuzzer
)
