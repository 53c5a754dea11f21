import StrictJSON
import SystemSupport

/// The command line of `t2bench`.
struct BenchmarkOptions: Sendable {
  var benchmarks: [Benchmark] = []
  var json = false
  var help = false
  /// A model as `model add` takes it.
  var model: String
  /// Expert files and a task, for the benchmarks that start a daemon.
  private var experts: [String] = []
  var expertFiles: [String] { experts.isEmpty ? Self.standardExperts : experts }
  var task: String?
  /// Of a running daemon, for the benchmarks that ask one.
  var socket: String?
  /// How often a measurement that is short is repeated.
  var repetitions = 3

  static let standardModel = "var/lib/t2d/models/SmolLM2-135M-Instruct.Q4_1.gguf"
  private static let standardExperts = ["science", "words"].map { "etc/examples/experts/\($0).safetensors" }
  static let standardTask = "etc/examples/tasks/arc_easy/fewshot.jsonl"
  private static let flags = ["--json", "--model", "--expert", "--task", "--socket", "--repeat", "--help"]

  init(_ arguments: some Sequence<String>) throws(BenchmarkError) {
    model = environmentVariable("T2D_TEST_MODEL") ?? Self.standardModel
    var rest = Array(arguments)[...]
    var names: [String] = []
    while let argument = rest.popFirst() {
      switch argument {
      case "--json": json = true
      case "--help", "-h", "help": help = true
      case "--model": model = try Self.value(of: argument, &rest)
      case "--expert": experts.append(try Self.value(of: argument, &rest))
      case "--task": task = try Self.value(of: argument, &rest)
      case "--socket": socket = try Self.value(of: argument, &rest)
      case "--repeat":
        let text = try Self.value(of: argument, &rest)
        guard let count = Int(text), (1...1000).contains(count) else {
          throw BenchmarkError("--repeat takes a number from 1 to 1000, got '\(text)'")
        }
        repetitions = count
      default:
        guard !argument.hasPrefix("-") else { throw Self.unknown("option", argument, among: Self.flags) }
        names.append(argument)
      }
    }
    if names.isEmpty || names.contains("all") { names = Benchmark.all.map(\.name) }
    for name in names {
      guard let benchmark = Benchmark.all.first(where: { $0.name == name }) else {
        throw Self.unknown("benchmark", name, among: Benchmark.all.map(\.name) + ["all"])
      }
      benchmarks.append(benchmark)
    }
  }

  private static func value(of option: String, _ rest: inout ArraySlice<String>) throws(BenchmarkError) -> String {
    guard let value = rest.popFirst() else { throw BenchmarkError("\(option) needs a value") }
    return value
  }

  private static func unknown(_ kind: String, _ found: String, among known: [String]) -> BenchmarkError {
    let hint = nearestName(to: found, among: known).map { "did you mean '\($0)'?" } ?? "t2bench --help lists them"
    return BenchmarkError("unknown \(kind) '\(found)'; \(hint)")
  }

  static var usage: String {
    let width = Benchmark.all.map(\.name.count).max() ?? 0
    let list = Benchmark.all.map { "  \($0.name.padded(to: width))  \($0.summary)" }.joined(separator: "\n")
    return """
      usage: t2bench [BENCHMARK ... | all] [--json] [--model PATH] [--expert FILE ...] [--task PATH]
                     [--socket PATH] [--repeat N]

      Measures this machine, in this one process.

      \(list)

        --json         one JSON object on stdout, nothing else
        --model PATH   a GGUF file or a Hugging Face directory
                       (default: $T2D_TEST_MODEL, or \(standardModel))
        --expert FILE  an expert of that model; may be given several times (ask, query,
                       drop; default: those of etc/examples/experts)
        --task PATH    a few-shot file (query; default: \(standardTask));
                       with --socket the name of a task
        --socket PATH  ask the daemon that runs there, which then is not made to search (query)
        --repeat N     how often short measurements are repeated (default 3); the best counts

      Figures mean something on an idle machine only. Exit: 0 measured, 1 a benchmark failed, 3 usage.

      """
  }
}

extension String {
  func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
  func paddedLeft(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
