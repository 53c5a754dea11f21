import LinearAlgebra
import StrictJSON

/// What was measured, as a table for people and as JSON for programs.
struct BenchmarkReport: Sendable {
  struct Entry: Sendable {
    var name: String
    var seconds: Double
    var measurements: [Measurement]
    /// Why there are none.
    var failure: String?
  }

  var kernel: KernelReport
  var cores: Int
  var model: String
  var entries: [Entry] = []

  var json: JSONValue {
    [
      "kernel": [
        "running": .string(kernel.running), "deserved": kernel.deserved.map { .string($0) } ?? .null,
        "raised": .bool(kernel.raised), "too_old": .bool(kernel.tooOld),
      ],
      "cores": .integer(Int64(cores)),
      "model": .string(model),
      "benchmarks": .array(entries.map(Self.json)),
    ]
  }

  private static func json(_ entry: Entry) -> JSONValue {
    [
      "name": .string(entry.name), "seconds": .number(entry.seconds),
      "error": entry.failure.map { .string($0) } ?? .null,
      "measurements": .array(entry.measurements.map(json)),
    ]
  }

  private static func json(_ measurement: Measurement) -> JSONValue {
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
    return .object(object)
  }

  var table: String {
    var lines = ["OpenBLAS kernel \(kernel.running)\(kernel.tooOld ? " (too old)" : ""), \(cores) compute threads"]
    if !model.isEmpty { lines[0] += ", \(model)" }
    for entry in entries {
      lines.append("")
      lines.append("\(entry.name) (\(Self.number(entry.seconds)) s)")
      if let failure = entry.failure { lines.append("  failed: \(failure)") }
      let width = entry.measurements.map(\.name.count).max() ?? 0
      for measurement in entry.measurements {
        let value = Self.number(measurement.value).paddedLeft(to: 10)
        var line = "  \(measurement.name.padded(to: width)) \(value) \(measurement.unit)"
        switch measurement.bound {
        case .atLeast(let limit): line += "  (at least \(Self.number(limit)))"
        case .atMost(let limit): line += "  (at most \(Self.number(limit)))"
        case nil: break
        }
        if measurement.isKept == false { line += "  SHORT" }
        lines.append(line)
      }
    }
    return lines.joined(separator: "\n") + "\n"
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
