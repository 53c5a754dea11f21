package import Evaluation
import Multipliers
import Records
package import Registry
package import Sandbox
package import Settings
package import StrictJSON
package import SystemSupport
import WorkerProtocol

/// The configuration file, `etc/t2d/t2d.json5`, with a default for every key: t2d.conf(5).
///
/// Paths in it are relative to the prefix. A key that is not known is an error that names it and the nearest known one.
package struct Configuration: Sendable {
  package enum Promotion: String, Sendable, CaseIterable {
    /// A version that was accepted is active at once.
    case immediate
    /// It stays a candidate until `expert promote`.
    case manual
  }

  package struct Worker: Sendable, Equatable {
    /// The program; nil: `t2-worker` beside t2d.
    package var path: String?
    /// Compute threads; 0 for one a core.
    package var threads = 0
    /// Of heap and private mappings (RLIMIT_DATA); 0 for none.
    package var memoryLimit: Int64 = 0
    /// Models beyond it are dropped, least recently used first; 0 for none.
    package var memoryBudget: Int64 = 2 << 30
    /// How long a worker may leave `memory` unanswered before it counts as hanging.
    package var hangAfter: Duration = .seconds(60)
    /// How long a job may go on after it was told to stop, before its worker is killed.
    package var stopAfter: Duration = .seconds(5)
  }

  /// Whether the programs of code rows are run, and how.
  package struct Code: Sendable, Equatable {
    package var isEnabled = false
    package var sandbox: SandboxSettings

    /// Without these two a program could write what t2d's own user can, its state among it, where t2d is not root.
    package init() {
      sandbox = SandboxSettings()
      sandbox.required = [.seccomp, .landlock]
    }
  }

  /// Pass one of the strategies `prompt` and `classifier`.
  package struct Dispatch: Sendable, Equatable {
    /// The template's file; nil: `etc/t2d/dispatch.txt` where it exists, else the built-in text.
    package var template: String?
    /// Nil: by the model's size.
    package var reading: DecisionReading?
    /// A model with fewer parameters is read by scoring: it seldom keeps to the form of an answer.
    package var smallParameters: Int64 = 1_000_000_000
    /// Of a generated decision.
    package var maximumTokens = 128
  }

  /// What is checked by itself, how, and what follows from it.
  package struct Checks: Sendable, Equatable {
    /// What follows from each verdict.
    package struct Policy: Sendable, Equatable {
      package var ordered = CheckAction.warn
      package var noBetterThanShuffled = CheckAction.warn
      package var inconclusive = CheckAction.warn

      package subscript(verdict: CheckVerdict) -> CheckAction {
        switch verdict {
        case .ordered: ordered
        case .noBetterThanShuffled: noBetterThanShuffled
        case .inconclusive: inconclusive
        }
      }
    }

    /// When a version arrives or a model is added.
    package var onArrival = true
    /// Shuffles of a check.
    package var seeds = 5
    package var seed: UInt64 = 1
    /// Rows of the eval file at most, the first ones.
    package var rows = 200
    package var policy = Policy()
  }

  package struct Debounce: Sendable, Equatable {
    package var quiet: Duration = .seconds(2)
    package var limit: Duration = .seconds(30)
  }

  package var socket = "var/run/t2d/t2d.sock"
  package var socketMode: UInt32 = 0o660
  package var adminGroup: String?
  package var logLevel = Logger.Level.info
  package var promotion = Promotion.immediate
  package var defaultModel: String?
  package var search = SearchSettings()
  package var debounce = Debounce()
  package var checks = Checks()
  package var worker = Worker()
  package var dispatch = Dispatch()
  package var code = Code()
  /// An expert file larger than this is refused.
  package var maximumExpertBytes = 64 << 20
  package var maximumTaskBytes = 64 << 20

  package init() {}

  /// Reads the text of a configuration file.
  package init(json5 bytes: [UInt8], path: String) throws(ConfigurationError) {
    let value: JSONValue
    do { value = try parseJSON(bytes, dialect: .json5) } catch { throw .syntax(path: path, error) }
    do {
      var reader = try ObjectReader(reading: value)
      try read(&reader)
      try reader.finish()
    } catch let error as ObjectReaderError {
      throw .content(path: path, error.description)
    } catch let error as RecordError {
      throw .content(path: path, error.description)
    } catch let error as ConfigurationError {
      throw error
    } catch {
      throw .content(path: path, "\(error)")
    }
  }

  private mutating func read(_ reader: inout ObjectReader) throws {
    if let text = try reader.optionalString("socket") { socket = text }
    if let text = try reader.optionalString("socket_mode") { socketMode = try Self.mode(text) }
    adminGroup = try reader.optionalString("admin_group")
    if let text = try reader.optionalString("log_level") {
      guard let level = Logger.Level(name: text) else {
        throw ObjectReaderError(
          kind: .outOfRange, path: "", key: "log_level",
          problem: "\"log_level\" is \"\(text.excerpt)\", allowed are "
            + Logger.Level.allCases.map(\.name).joined(separator: ", "))
      }
      logLevel = level
    }
    if let choice = try reader.optionalChoice("promotion", Promotion.self) { promotion = choice }
    defaultModel = try reader.optionalString("default_model")
    if let bytes = try reader.optionalInt("max_expert_bytes", in: 1...1 << 40) { maximumExpertBytes = bytes }
    if let bytes = try reader.optionalInt("max_task_bytes", in: 1...1 << 40) { maximumTaskBytes = bytes }
    if let bytes = try reader.optionalInteger("memory_budget", in: 0...Int64.max) { worker.memoryBudget = bytes }
    if var part = try reader.optionalReader("debounce") {
      if let seconds = try part.optionalDouble("quiet_seconds", in: 0...3600) { debounce.quiet = .seconds(seconds) }
      if let seconds = try part.optionalDouble("limit_seconds", in: 0...86_400) { debounce.limit = .seconds(seconds) }
      try part.finish()
    }
    if let part = try reader.optionalReader("checks") { checks = try Self.checks(part) }
    if var part = try reader.optionalReader("worker") {
      worker.path = try part.optionalString("path")
      if let number = try part.optionalInt("threads", in: 0...1024) { worker.threads = number }
      if let bytes = try part.optionalInteger("memory_limit", in: 0...Int64.max) { worker.memoryLimit = bytes }
      if let seconds = try part.optionalDouble("hang_seconds", in: 1...86_400) { worker.hangAfter = .seconds(seconds) }
      if let seconds = try part.optionalDouble("stop_seconds", in: 0.1...3600) { worker.stopAfter = .seconds(seconds) }
      try part.finish()
    }
    if var part = try reader.optionalReader("dispatch") {
      dispatch.template = try part.optionalString("template")
      dispatch.reading = try part.optionalChoice("read", DecisionReading.self)
      if let count = try part.optionalInteger("small_parameters", in: 0...Int64.max) {
        dispatch.smallParameters = count
      }
      if let count = try part.optionalInt("max_tokens", in: 1...4096) { dispatch.maximumTokens = count }
      try part.finish()
    }
    if let part = try reader.optionalReader("code") { code = try Self.code(part) }
    if let part = reader.optionalValue("search") {
      search = try RecordReader(unknownMembers: .refused).read(part, over: search, at: "search")
    }
  }

  private static func code(_ reader: ObjectReader) throws -> Code {
    var (reader, code) = (reader, Code())
    if let flag = try reader.optionalBool("enabled") { code.isEnabled = flag }
    if let path = try reader.optionalString("interpreter") { code.sandbox.interpreter = path }
    if let name = try reader.optionalString("user") { code.sandbox.user = name }
    if let seconds = try reader.optionalDouble("timeout_seconds", in: 0.1...3600) {
      code.sandbox.timeout = .seconds(seconds)
    }
    // Less does not hold an interpreter.
    if let bytes = try reader.optionalInteger("memory_limit", in: 32 << 20...1 << 40) {
      code.sandbox.memoryBytes = bytes
    }
    if let names = try reader.optionalStrings("require") {
      code.sandbox.required = try SandboxSettings.protections(names, key: "require")
    }
    try reader.finish()
    return code
  }

  private static func checks(_ reader: ObjectReader) throws -> Checks {
    var (reader, checks) = (reader, Checks())
    if let flag = try reader.optionalBool("on_arrival") { checks.onArrival = flag }
    if let number = try reader.optionalInt("seeds", in: 1...1000) { checks.seeds = number }
    if let number = try reader.optionalInteger("seed", in: 0...Int64.max) { checks.seed = UInt64(number) }
    if let number = try reader.optionalInt("rows", in: 1...1_000_000) { checks.rows = number }
    if var part = try reader.optionalReader("policy") {
      if let action = try part.optionalChoice("ordered", CheckAction.self) { checks.policy.ordered = action }
      if let action = try part.optionalChoice("no_better_than_shuffled", CheckAction.self) {
        checks.policy.noBetterThanShuffled = action
      }
      if let action = try part.optionalChoice("inconclusive", CheckAction.self) { checks.policy.inconclusive = action }
      try part.finish()
    }
    try reader.finish()
    return checks
  }

  /// `"0660"`.
  private static func mode(_ text: String) throws(ObjectReaderError) -> UInt32 {
    guard let mode = UInt32(text, radix: 8), mode <= 0o777 else {
      throw ObjectReaderError(
        kind: .outOfRange, path: "", key: "socket_mode",
        problem: "\"socket_mode\" is \"\(text.excerpt)\", it must be an octal text such as \"0660\"")
    }
    return mode
  }
}

package enum ConfigurationError: Error, CustomStringConvertible {
  case unreadable(SystemCallError)
  case syntax(path: String, JSONError)
  case content(path: String, String)
  case template(DispatchTemplateError)

  package var description: String {
    switch self {
    case .unreadable(let error): "configuration: \(error)"
    case .syntax(let path, let error): "configuration '\(path)': \(error)"
    case .content(let path, let problem): "configuration '\(path)': \(problem)"
    case .template(let error): "configuration: \(error)"
    }
  }
}
