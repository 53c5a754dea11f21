import StrictJSON

/// Puts a valid value of the same type in the place of everything in a line that differs from run to run or from machine
/// to machine: times, digests, processes, durations, sizes of memory, and the numbers that a model computes, whose last
/// digits are the processor's.
///
/// By shape where a string shows what it is, by the member's name elsewhere. A line that has been through it once stays
/// as it is.
struct Placeholders {
  /// Directories of this run, and what they are called; the longest first.
  let paths: [(real: String, shown: String)]

  /// A line of a script as it is sent.
  func sent(_ line: String) -> String {
    paths.reduce(line) { line, path in line.replacing(path.shown, with: path.real) }
  }

  /// A line that came as it is recorded; what is not JSON stays.
  func kept(_ line: String) -> String {
    guard let value = try? parseJSON(Array(line.utf8)) else { return line }
    return kept(value).jsonText
  }

  func kept(_ value: JSONValue) -> JSONValue { kept(value, named: "") }

  // MARK: - By the member's name

  private static let texts: [String: String] = [
    "kernel": "Haswell", "running": "Haswell", "deserved": "Haswell", "sqlite": "3.40.1", "version": "0.0.0",
  ]
  private static let integers: [String: Int64] = [
    "pid": 4711, "connections": 1, "cores": 2, "memory_bytes": 1 << 20, "memory_limit_bytes": 1 << 30,
  ]
  /// Durations, and objects or lists of them; `budget_seconds` is a setting.
  private static func isDuration(_ name: String) -> Bool {
    ["seconds", "seconds_per_prompt", "estimated_seconds_saved"].contains(name)
      || (name.hasSuffix("_seconds") && name != "budget_seconds")
  }
  /// What a model computes, where it is not a share of right answers.
  private static let computed: Set = [
    "alpha", "found_alpha", "loss", "reward", "kl", "gradient_norm", "probability", "label_probability", "spread",
    "best", "mean", "relative_error", "energy_mean", "energy_least",
  ]
  private static let computedBelowZero: Set = [
    "logprobs", "sum", "logit", "fit_loglik", "held_out_loglik", "best_log_likelihood", "loglik",
  ]

  private func kept(_ value: JSONValue, named name: String) -> JSONValue {
    switch value {
    case .object(let object):
      if Self.isDuration(name) || Self.computed.contains(name) { return numbers(value, 0.5) }
      var result = JSONObject()
      for (key, member) in object.members { result[key] = kept(member, named: key) }
      // Of a backup: the size of the catalogue, and how much has happened by then.
      if result["event"]?.integerValue != nil, result["damaged"] != nil {
        (result["event"], result["bytes"]) = (64, .integer(1 << 20))
      }
      return .object(result)
    case .array(let elements):
      // A list of weights of the divergence is a setting.
      if Self.isDuration(name) || Self.computed.contains(name), name != "kl" { return numbers(value, 0.5) }
      if Self.computedBelowZero.contains(name) { return numbers(value, -0.5) }
      return .array(elements.map { kept($0, named: name) })
    case .string(let text):
      if text.hasPrefix("{"), let inner = try? parseJSON(Array(text.utf8)) { return .string(kept(inner).jsonText) }
      return .string(Self.texts[name] ?? shaped(text))
    case .integer, .number:
      if let number = Self.integers[name] { return .integer(number) }
      if Self.isDuration(name) || Self.computed.contains(name) { return 0.5 }
      if Self.computedBelowZero.contains(name) { return -0.5 }
      return value
    case .bool: return name == "too_old" ? false : value
    case .null: return value
    }
  }

  /// Every number below a value.
  private func numbers(_ value: JSONValue, _ number: Double) -> JSONValue {
    switch value {
    case .integer, .number: return .number(number)
    case .array(let elements): return .array(elements.map { numbers($0, number) })
    case .object(let object):
      var result = JSONObject()
      for (key, member) in object.members { result[key] = numbers(member, number) }
      return .object(result)
    case .string(let text): return .string(shaped(text))
    case .bool, .null: return value
    }
  }

  // MARK: - By shape

  private func shaped(_ text: String) -> String {
    var text = paths.reduce(text) { text, path in text.replacing(path.real, with: path.shown) }
    text = text.replacing(#/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/#, with: "2000-01-01T00:00:00.000Z")
    // Of a blob the first two digits are a directory.
    text = text.replacing(#/[0-9a-f]{2}/[0-9a-f]{62}/#, with: "00/" + String(repeating: "0", count: 62))
    text = text.replacing(#/[0-9a-f]{64}/#, with: String(repeating: "0", count: 64))
    // The copy of a task, and a file that is being made.
    text = text.replacing(#/\/[0-9a-f]{16}\//#, with: "/" + String(repeating: "0", count: 16) + "/")
    text = text.replacing(#/\/staging\/([a-z]+)\.[0-9a-z]+/#) { "/staging/\($0.1).0" }
    text = text.replacing(#/\/trainings\/[0-9a-f]{32}/#, with: "/trainings/" + String(repeating: "0", count: 32))
    text = text.replacing(#/(log-likelihood|reward|loss) -?\d+\.\d+/#) { "\($0.1) -0.500" }
    text = text.replacing(#/uid \d+/#, with: "uid 1000")
    return text.replacing(#/pid \d+/#, with: "pid 4711")
  }
}

/// Where two values differ, in words: a line for each place, the first ones.
func differences(recorded: JSONValue?, now: JSONValue?, _ path: String = "") -> [String] {
  switch (recorded, now) {
  case (.object(let left), .object(let right)):
    return (left.keys + right.keys.filter { left[$0] == nil }).flatMap { key in
      differences(recorded: left[key], now: right[key], path.isEmpty ? key : "\(path).\(key)")
    }
  case (.array(let left), .array(let right)):
    return (0..<max(left.count, right.count)).flatMap { index in
      differences(
        recorded: index < left.count ? left[index] : nil, now: index < right.count ? right[index] : nil,
        "\(path)[\(index)]")
    }
  default:
    guard recorded != now else { return [] }
    func shown(_ value: JSONValue?) -> String { value.map { String($0.jsonText.prefix(400)) } ?? "nothing" }
    return ["\(path): recorded \(shown(recorded)), now \(shown(now))"]
  }
}
