package import Evaluation
package import Records
package import Sandbox
package import Settings
package import StrictJSON
package import SystemSupport

/// The configuration file, `etc/t2d/t2d.json5`: t2d.conf(5), whose lists and the shipped file itself are made of this.
///
/// Paths in it are relative to the prefix.
package struct Configuration: Record {
  @Setting("socket of the API: a path of at most 107 bytes") package var socket = "var/run/t2d/t2d.sock"
  @Setting("mode of the socket in octal: whom it admits may read") package var socketMode: FileMode = 0o660
  @Setting("group whose members may change things, as root and t2d's own user may")
  package var adminGroup: String?
  @Setting(
    "group that may read adapters, that of the engines, in which t2d's user must be; default the group of t2d")
  package var adapterGroup: String?
  @Setting(
    "bytes of adapters that are kept for engines, beyond which those that were resolved longest ago are removed",
    1...1 << 50)
  package var adapterBudget = 1 << 30
  @Setting("least urgent messages that are written to standard error") package var logLevel = Logger.Level.info
  @Setting(
    "when a new version of an expert becomes active: immediate, once it is accepted; manual, once it is promoted")
  package var promotion = Promotion.immediate
  @Setting("model of a request that names none, where several are registered") package var defaultModel: String?
  @Setting("largest expert file that is accepted, in bytes", 1...1 << 40, name: "max_expert_bytes")
  package var maximumExpertBytes = 64 << 20
  @Setting("largest file of a task that is accepted, in bytes", 1...1 << 40, name: "max_task_bytes")
  package var maximumTaskBytes = 64 << 20
  @Setting(
    "bytes of models in memory, with their factorizations, beyond which the least recently used are dropped, and a model "
      + "that needs more alone is refused; 0 for no limit", 0...Int64.max)
  package var memoryBudget: Int64 = 2 << 30
  @Setting(
    "precision in which singular vectors are kept, on disk and in memory: auto, which is half where they would take more "
      + "than 2 GB; single; half, in half the space and for logits that differ by some thousandths")
  package var factors = Factors.auto
  @Setting("what a search does where its task and its request say nothing else") package var search = SearchSettings()
  @Setting("when a mixture is searched again") package var debounce = Debounce()
  @Setting("checks of experts, and what follows from them") package var checks = Checks()
  @Setting("the first pass of the strategies prompt and classifier") package var dispatch = Dispatch()
  @Setting("the programs that code rows make") package var code = Code()
  @Setting("what is removed from the store when gc is asked to") package var gc = GarbageCollection()
  @Setting("how much of what was replaced is kept") package var retention = Retention()
  @Setting("the process that computes") package var worker = Worker()
  @Setting("the slow reading of all stored files, which finds what the disk has damaged") package var scrub = Scrub()

  package init() {}

  package enum Promotion: String, Choice { case immediate, manual }

  /// See `FactorPrecision`.
  package enum Factors: String, Choice { case auto, single, half }

  package struct Debounce: Record {
    @Setting("seconds without a change after which a search begins", 0...3600, name: "quiet_seconds")
    package var quiet: Duration = .seconds(2)
    @Setting("seconds after the first change at which it begins at the latest", 0...86_400, name: "limit_seconds")
    package var limit: Duration = .seconds(30)
    package init() {}
  }

  /// What is checked by itself, how, and what follows from it.
  package struct Checks: Record {
    @Setting("check a version when it arrives, and active versions when a model of the same shapes is added")
    package var onArrival = true
    @Setting("permutations of a check", 1...1000) package var seeds = 5
    @Setting("seed of the first permutation; the next ones count on", 0...UInt64(Int64.max))
    package var seed: UInt64 = 1
    @Setting("maximum number of rows of the eval file, the first ones", 1...1_000_000) package var rows = 200
    @Setting("what follows from each verdict") package var policy = Policy()
    package init() {}

    package struct Policy: Record {
      @Setting("what follows where the expert does better than its permutations") package var ordered = CheckAction.warn
      @Setting("what follows where it does no better") package var noBetterThanShuffled = CheckAction.warn
      @Setting("what follows where the rows do not decide") package var inconclusive = CheckAction.warn
      package init() {}

      package subscript(verdict: CheckVerdict) -> CheckAction {
        switch verdict {
        case .ordered: ordered
        case .noBetterThanShuffled: noBetterThanShuffled
        case .inconclusive: inconclusive
        }
      }
    }
  }

  package struct Dispatch: Record {
    @Setting("file of the question; default etc/t2d/dispatch.txt, or a built-in text where there is no such file")
    package var template: String?
    @Setting(
      "how a decision is read: score, the most likely label; generate, the last \\boxed{} of an answer; default by size",
      name: "read")
    package var reading: DecisionReading?
    /// It seldom keeps to the form of an answer.
    @Setting("number of parameters below which a model is read by score", 0...Int64.max)
    package var smallParameters: Int64 = 1_000_000_000
    @Setting("maximum number of tokens of a generated decision", 1...4096, name: "max_tokens")
    package var maximumTokens = 128
    package init() {}
  }

  package struct Code: Record {
    @Setting("run programs at all", name: "enabled") package var isEnabled = false
    @Included package var sandbox = SandboxSettings()
    package init() {}
  }

  package struct GarbageCollection: Record {
    @Setting(
      "seconds for which nothing must have named a file before it is removed", 0...10_000_000, name: "grace_seconds")
    package var grace: Duration = .seconds(24 * 3600)
    package init() {}
  }

  package struct Retention: Record {
    @Setting(
      "newest versions of an expert that are kept, beside the active one; older ones are removed; default all",
      1...1_000_000)
    package var versions: Int?
    package init() {}
  }

  package struct Worker: Record {
    @Setting("program of the worker; default t2-worker beside t2d") package var path: String?
    @Setting("compute threads; 0 for one per core", 0...1024) package var threads = 0
    @Setting("bytes of heap (RLIMIT_DATA), without mapped files; 0 for no limit", 0...Int64.max)
    package var memoryLimit: Int64 = 0
    @Setting(
      "seconds without a sign of life after which the worker is killed and started again", 1...86_400,
      name: "hang_seconds")
    package var hangAfter: Duration = .seconds(60)
    @Setting(
      "seconds after which a job that was told to stop and goes on is ended with its worker", 0.1...3600,
      name: "stop_seconds")
    package var stopAfter: Duration = .seconds(5)
    package init() {}
  }

  package struct Scrub: Record {
    @Setting("bytes that are read in a second; 0 to read nothing", 0...1 << 40) package var bytesPerSecond = 4 << 20
    @Setting("seconds after the start at which it begins", 0...31_536_000, name: "delay_seconds")
    package var delay: Duration = .seconds(600)
    @Setting("seconds from its end to the next time", 0.1...31_536_000, name: "pause_seconds")
    package var pause: Duration = .seconds(86_400)
    package init() {}

    var isOn: Bool { bytesPerSecond > 0 }
  }

  /// Reads the text of a configuration file.
  package init(json5 bytes: [UInt8], path: String) throws(ConfigurationError) {
    let value: JSONValue
    do { value = try parseJSON(bytes, dialect: .json5) } catch { throw .syntax(path: path, error) }
    do throws(RecordError) { self = try RecordReader(unknownMembers: .refused).read(value) } catch {
      throw .content(path: path, error)
    }
  }
}

extension Logger.Level: RecordValue {
  package static var valueType: ValueType { .choice(allCases.map(\.name)) }
  package var memberJSON: JSONValue? { .string(name) }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    guard case .string(let text) = json, let level = Self(name: text) else {
      throw RecordError(.invalid, at: place, valueType.problem(with: json) ?? "is not known")
    }
    return level
  }
}

/// Who may do what with a file: "0660".
package struct FileMode: TextValue, ExpressibleByIntegerLiteral {
  package let bits: UInt32

  package init(integerLiteral bits: UInt32) { self.bits = bits }

  package init(text: String) throws(RecordError) {
    guard let bits = UInt32(text, radix: 8), bits <= 0o777 else {
      throw RecordError(.invalid, at: "", "must be an octal number such as \"0660\", and is \(quoted(text))")
    }
    self.bits = bits
  }

  package var text: String { "0" + String(bits, radix: 8) }
}

package enum ConfigurationError: Error, CustomStringConvertible {
  case unreadable(SystemCallError)
  case syntax(path: String, JSONError)
  case content(path: String, RecordError)
  case template(DispatchTemplateError)

  package var description: String {
    switch self {
    case .unreadable(let error): "configuration: \(error)"
    case .syntax(let path, let error): "configuration '\(path)': \(error)"
    case .content(let path, let error): error.description(of: "configuration '\(path)'")
    case .template(let error): "configuration: \(error)"
    }
  }
}
