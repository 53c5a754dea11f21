import StrictJSON
import SystemSupport

/// What an earlier `t2bench --json` printed: figures to compare with, and the machine that they are from.
///
/// Bounds are not read from it. They stand beside the benchmark that they belong to, so that no record can loosen one.
struct BenchmarkRecord: Sendable {
  struct Entry: Sendable {
    let name: String
    /// Empty where the benchmark failed then; a figure that was not a number is left out.
    let figures: [(name: String, value: Double)]

    func value(_ figure: String) -> Double? { figures.first { $0.name == figure }?.value }
  }

  let path: String
  /// "AMD EPYC, family 25, 2 threads, kernel Haswell, 2026-01-31T12:00:00.123Z", of what the file says.
  let origin: String
  /// "" and 0 where the file does not say.
  let processor: String
  let cores: Int
  let entries: [Entry]

  private static let maximumBytes = 1 << 20

  init(path: String) throws(BenchmarkError) {
    do {
      let bytes = try FileSystem.readAll(path, maximumBytes: Self.maximumBytes)
      try self.init(path: path, parseJSON(bytes))
    } catch {
      throw BenchmarkError("cannot read the record '\(path)': \(error); 't2bench --json' writes one")
    }
  }

  private init(path: String, _ value: JSONValue) throws(ObjectReaderError) {
    // No finish(): an older or a newer t2bench may say more.
    var reader = try ObjectReader(reading: value)
    var machine = try reader.optionalReader("machine")
    let processor = try machine?.optionalString("processor")
    let cores = try reader.optionalInt("cores")
    var origin: [String] = []
    if let processor { origin.append(processor) }
    if let cores { origin.append("\(cores) threads") }
    if var kernel = try reader.optionalReader("kernel"), let running = try kernel.optionalString("running") {
      origin.append("kernel \(running)")
    }
    if let time = try reader.optionalString("time") { origin.append(time) }
    var entries: [Entry] = []
    for (index, value) in try reader.array("benchmarks").enumerated() {
      var entry = try ObjectReader(reading: value, path: "benchmarks[\(index)]")
      let name = try entry.string("name")
      var figures: [(name: String, value: Double)] = []
      for (number, value) in try entry.array("measurements").enumerated() {
        var figure = try ObjectReader(reading: value, path: "benchmarks[\(index)].measurements[\(number)]")
        let name = try figure.string("name")
        if let value = try figure.optionalDouble("value") { figures.append((name, value)) }
      }
      entries.append(Entry(name: name, figures: figures))
    }
    self.path = path
    self.origin = origin.joined(separator: ", ")
    self.processor = processor ?? ""
    self.cores = cores ?? 0
    self.entries = entries
  }

  subscript(_ benchmark: String) -> Entry? { entries.first { $0.name == benchmark } }
}
