import LinearAlgebra
import StrictJSON

/// What was measured, as a table for people and as JSON for programs; beside a record where there is one.
struct BenchmarkReport: Sendable {
  struct Entry: Sendable {
    var name: String
    var seconds: Double
    var measurements: [Measurement]
    /// Why there are none.
    var failure: String?
  }

  /// When the measuring began, UTC.
  var time: String
  var machine: BenchmarkMachine
  var kernel: KernelReport
  /// Compute threads.
  var cores: Int
  var model: String
  var record: BenchmarkRecord?
  var entries: [Entry] = []

  /// What a speed may be at least of the recorded one. Runs of one program on one machine differ by some hundredths.
  static let slowest = 0.9

  /// What is not as it has to be, a line each, for people: bounds that are not kept, and speeds of a record of this machine
  /// that are not reached.
  var shortfalls: [String] {
    entries.flatMap { entry in
      entry.measurements.flatMap { measurement in
        var lines: [String] = []
        if measurement.isKept == false {
          lines.append(
            "\(entry.name): '\(measurement.name)' is \(Self.number(measurement.value)), allowed is "
              + (measurement.bound.map(Self.text) ?? "anything"))
        }
        if isSlower(entry, measurement), let recorded = recorded(entry, measurement) {
          lines.append(
            "\(entry.name): '\(measurement.name)' is \(Self.number(measurement.value)) \(measurement.unit), slower than "
              + "\(Self.slowest) of the recorded \(Self.number(recorded)) \(measurement.unit)")
        }
        return lines
      }
    }
  }

  /// Whether the record is of a machine like this one, as far as it says.
  private var isSameMachine: Bool {
    guard let record else { return false }
    return record.processor == machine.processor && record.cores == cores && !machine.processor.isEmpty
  }

  private func isSlower(_ entry: Entry, _ measurement: Measurement) -> Bool {
    guard isSameMachine, let recorded = recorded(entry, measurement),
      let speed = measurement.speed(toRecorded: recorded)
    else { return false }
    return !(speed >= Self.slowest)
  }

  // MARK: For programs

  var json: JSONValue {
    [
      "time": .string(time),
      "machine": machine.json,
      "kernel": [
        "running": .string(kernel.running), "deserved": kernel.deserved.map { .string($0) } ?? .null,
        "raised": .bool(kernel.raised), "too_old": .bool(kernel.tooOld),
      ],
      "cores": .integer(Int64(cores)),
      "model": .string(model),
      "benchmarks": .array(entries.map(json)),
    ]
  }

  private func json(_ entry: Entry) -> JSONValue {
    [
      "name": .string(entry.name), "seconds": .number(entry.seconds),
      "error": entry.failure.map { .string($0) } ?? .null,
      "measurements": .array(entry.measurements.map { json($0, recorded: recorded(entry, $0)) }),
    ]
  }

  private func json(_ measurement: Measurement, recorded: Double?) -> JSONValue {
    var object: JSONObject = [
      "name": .string(measurement.name), "value": measurement.value.isFinite ? .number(measurement.value) : .null,
      "unit": .string(measurement.unit),
    ]
    switch measurement.bound {
    case .atLeast(let limit): object["at_least"] = .number(limit)
    case .atMost(let limit): object["at_most"] = .number(limit)
    case nil: break
    }
    if let kept = measurement.isKept { object["kept"] = .bool(kept) }
    if let recorded {
      object["recorded"] = .number(recorded)
      let ratio = measurement.value / recorded
      object["to_recorded"] = ratio.isFinite ? .number(ratio) : .null
    }
    return .object(object)
  }

  // MARK: For people

  var table: String {
    var lines = ["OpenBLAS kernel \(kernel.running)\(kernel.tooOld ? " (too old)" : ""), \(cores) compute threads"]
    if !machine.processor.isEmpty { lines[0] += ", \(machine.processor)" }
    if !model.isEmpty { lines[0] += ", \(model)" }
    if let record {
      lines.append("beside \(record.path)\(record.origin.isEmpty ? "" : " (\(record.origin))")")
    }
    for entry in entries {
      lines.append("")
      lines.append("\(entry.name) (\(Self.number(entry.seconds)) s)")
      if let failure = entry.failure { lines.append("  failed: \(failure)") }
      let width = entry.measurements.map(\.name.count).max() ?? 0
      let unitWidth = entry.measurements.map(\.unit.count).max() ?? 0
      for measurement in entry.measurements {
        let value = Self.number(measurement.value).paddedLeft(to: 10)
        var line = "  \(measurement.name.padded(to: width)) \(value) \(measurement.unit)"
        if record != nil {
          line = line.padded(to: 2 + width + 12 + unitWidth) + beside(recorded(entry, measurement), measurement)
        }
        if let bound = measurement.bound { line += "  (\(Self.text(bound)))" }
        if measurement.isKept == false { line += "  SHORT" }
        if isSlower(entry, measurement) { line += "  SLOWER" }
        lines.append(line)
      }
      for figure in record?[entry.name]?.figures ?? []
      where !entry.measurements.contains(where: { $0.name == figure.name }) {
        lines.append("  \(figure.name): only in the record, \(Self.number(figure.value))")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func recorded(_ entry: Entry, _ measurement: Measurement) -> Double? {
    record?[entry.name]?.value(measurement.name)
  }

  /// The recorded figure, and what this run's is of it.
  private func beside(_ recorded: Double?, _ measurement: Measurement) -> String {
    guard let recorded else { return "not in the record".paddedLeft(to: 19) }
    let ratio = "x \(Self.number(measurement.value / recorded))"
    return Self.number(recorded).paddedLeft(to: 10) + " " + ratio.padded(to: 8)
  }

  private static func text(_ bound: Measurement.Bound) -> String {
    switch bound {
    case .atLeast(let limit): "at least \(number(limit))"
    case .atMost(let limit): "at most \(number(limit))"
    }
  }

  /// Three digits that say something, without an exponent for what people read.
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return "\(value)" }
    let digits = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : abs(value) >= 1 ? 2 : abs(value) >= 0.01 ? 3 : -1
    guard digits >= 0, abs(value) < 1e15 else { return value == 0 ? "0" : "\(Float(value))" }
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    return "\(sign)\(scaled / scale)." + "\(scaled % scale)".leadingZeros(to: digits)
  }
}

extension String {
  fileprivate func leadingZeros(to width: Int) -> String { String(repeating: "0", count: max(0, width - count)) + self }
}
