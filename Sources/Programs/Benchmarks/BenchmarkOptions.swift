import StrictJSON
import SystemSupport

/// The command line of `t2bench`.
struct BenchmarkOptions: Sendable {
  var benchmarks: [Benchmark] = []
  var json = false
  /// What the figures are printed beside, and what then has to keep its bounds.
  var record: BenchmarkRecord?
  var help = false
  /// A model as `model add` takes it.
  var model: String
  /// Expert files and a task, for the benchmarks that start a daemon.
  private var experts: [String] = []
  var expertFiles: [String] { experts.isEmpty ? Self.standardExperts : experts }
  var task: String?
  /// Of a running daemon, for the benchmarks that ask one.
  var socket: String?
  /// How many experts there are when the costs of one more are measured, in ascending order.
  private var sizes: [Int] = []
  var scaleSizes: [Int] { sizes.isEmpty ? [10, 1000, 10_000] : sizes.sorted() }
  /// Beside files that are dropped, a catalogue that was written as it is: more than anyone wants to wait for.
  var isLarge = false
  /// The Python environment of etc/lib/make-llama.
  var llama: String?
  /// Where `large` keeps the factorization for its next run; nil keeps it nowhere.
  var factors: String?
  /// How often a measurement that is short is repeated.
  var repetitions = 3

  static let standardModel = "var/lib/t2d/models/SmolLM2-135M-Instruct.Q4_1.gguf"
  private static let standardExperts = ["science", "words"].map { "etc/examples/experts/\($0).safetensors" }
  static let standardTask = "etc/examples/tasks/arc_easy/fewshot.jsonl"
  private static let flags = [
    "--json", "--compare", "--model", "--expert", "--task", "--socket", "--repeat", "--size", "--large", "--llama",
    "--factors", "--help",
  ]

  init(_ arguments: some Sequence<String>, among all: [Benchmark] = Benchmark.all) throws(BenchmarkError) {
    model = environmentVariable("T2D_TEST_MODEL") ?? Self.standardModel
    var rest = Array(arguments)[...]
    var names: [String] = []
    while let argument = rest.popFirst() {
      switch argument {
      case "--json": json = true
      case "--compare": record = try BenchmarkRecord(path: try Self.value(of: argument, &rest))
      case "--help", "-h", "help": help = true
      case "--model": model = try Self.value(of: argument, &rest)
      case "--expert": experts.append(try Self.value(of: argument, &rest))
      case "--task": task = try Self.value(of: argument, &rest)
      case "--socket": socket = try Self.value(of: argument, &rest)
      case "--large": isLarge = true
      case "--llama": llama = try Self.value(of: argument, &rest)
      case "--factors": factors = try Self.value(of: argument, &rest)
      case "--size":
        let text = try Self.value(of: argument, &rest)
        guard let size = Int(text), (2...100_000).contains(size) else {
          throw BenchmarkError("--size takes a number from 2 to 100000, got '\(text)'")
        }
        sizes.append(size)
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
    let areRecorded = names.isEmpty && record != nil
    if areRecorded, let record { names = record.entries.map(\.name) }
    if names.isEmpty || names.contains("all") {
      names = all.filter { $0.isStandard || names.contains($0.name) }.map(\.name)
    }
    for name in names {
      guard let benchmark = all.first(where: { $0.name == name }) else {
        if areRecorded, let record {
          throw BenchmarkError(
            "the record '\(record.path)' has the benchmark '\(escaped(name))', which this t2bench does not have; "
              + "name those to run: \(all.map(\.name).joined(separator: ", "))")
        }
        throw Self.unknown("benchmark", name, among: all.map(\.name) + ["all"])
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
    let lines = Benchmark.all.map { "  \($0.name.padded(to: width))\($0.isStandard ? " " : "*") \($0.summary)" }
    let list = lines.joined(separator: "\n")
    return """
      usage: t2bench [BENCHMARK ... | all] [--json] [--compare FILE] [--model PATH] [--expert FILE ...]
                     [--task PATH] [--socket PATH] [--repeat N] [--size N ...] [--large]
                     [--llama DIRECTORY] [--factors DIRECTORY]

      Measures this machine, in this one process. "all" is without those marked *.

      \(list)

        --json         one JSON object on stdout, nothing else: a record of the figures, the machine
                       and the versions
        --compare FILE  run the benchmarks of a record that --json wrote, or those named, and print
                       each figure beside the recorded one; exit 1 where a ratio misses its bound or,
                       with a record of the same processor, a speed is below \(BenchmarkReport.slowest) of its recorded one
        --model PATH   a GGUF file or a Hugging Face directory
                       (default: $T2D_TEST_MODEL, or \(standardModel))
        --expert FILE  an expert of that model; may be given several times (ask, query,
                       drop, scale; default: those of etc/examples/experts)
        --task PATH    a few-shot file (query; default: \(standardTask));
                       with --socket the name of a task
        --socket PATH  ask the daemon that runs there, which then is not made to search (query)
        --size N       how many experts there are; may be given several times (scale; default: 10,
                       1000 and 10000)
        --large        also 100,000 experts, 1,000 tasks and 1,000,000 events, written straight into
                       the catalogue (scale)
        --repeat N     how often short measurements are repeated (default 3); the best counts
        --llama DIRECTORY  a Python environment with llama.cpp, as etc/lib/make-llama makes it (llama)
        --factors DIRECTORY  where the factorization is kept for the next run (large)

      Ratios within one run ("at least", "at most") have bounds; what depends on the machine alone has
      none. Figures mean something on an idle machine only.
      Exit: 0 measured, 1 a benchmark failed or, with --compare, a figure falls short, 3 usage.

      """
  }
}

extension String {
  func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
  func paddedLeft(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
