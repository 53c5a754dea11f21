import Multipliers
import Records
import Sandbox
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

@Suite struct ConfigurationTests {
  private func read(_ text: String) throws(ConfigurationError) -> Configuration {
    try Configuration(json5: Array(text.utf8), path: "t2d.json5")
  }

  @Test func everyKeyIsOptional() throws {
    let configuration = try read("{}")
    #expect(configuration.socket == "var/run/t2d/t2d.sock")
    #expect(configuration.socketMode == 0o660)
    #expect(configuration.promotion == .immediate)
    #expect(configuration.debounce.quiet == .seconds(2))
    #expect(configuration.debounce.limit == .seconds(30))
    #expect(configuration.search.iterations == 100)
  }

  @Test func theWorkerHearsHowSingularVectorsAreKeptWhereThatIsSet() throws {
    for (text, expected) in [("auto", []), ("single", ["--factors", "single"]), ("half", ["--factors", "half"])] {
      let launcher = try ProgramLauncher(try read("{ factors: '\(text)' }"), prefix: "/p")
      #expect(launcher.arguments == ["t2-worker", "--memory-budget", "2147483648"] + expected)
    }
  }

  @Test func theWorkerHearsOfCodeOnlyWhereItIsEnabled() throws {
    #expect(
      try ProgramLauncher(Configuration(), prefix: "/p").arguments == ["t2-worker", "--memory-budget", "2147483648"])
    let launcher = try ProgramLauncher(try read("{ code: { enabled: true, interpreter: 'python3' } }"), prefix: "/p")
    #expect(launcher.arguments.suffix(2).first == "--code")
    var settings = SandboxSettings()
    settings.interpreter = "/p/python3"
    func told(_ launcher: ProgramLauncher) throws -> SandboxSettings {
      let json = try parseJSON(Array((launcher.arguments.last ?? "").utf8))
      return try RecordReader(unknownMembers: .refused).read(json)
    }
    #expect(try told(launcher) == settings)
    // Without them a program could write what t2d's own user can.
    #expect(settings.required == [.seccomp, .landlock])
    let without = try ProgramLauncher(try read("{ code: { enabled: true, require: [] } }"), prefix: "/p")
    #expect(try told(without).required.isEmpty)
  }

  @Test func whatIsWrittenIsTaken() throws {
    let configuration = try read(
      """
      { // a comment
        socket: 'run/s', socket_mode: "0600", default_model: "tiny", promotion: "manual", log_level: "debug",
        debounce: { quiet_seconds: 0.5, limit_seconds: 3 },
        worker: { path: "bin/t2-worker", threads: 1, memory_limit: 1000000000, hang_seconds: 5 },
        checks: { on_arrival: false, seeds: 3, rows: 50, seed: 9, policy: { no_better_than_shuffled: "quarantine" } },
        code: { enabled: true, interpreter: "/opt/python3", user: "runner", timeout_seconds: 1.5, require: ["limits"] },
        memory_budget: 5000000000, max_expert_bytes: 1000,
        search: { iterations: 20, population: 16, granularity: "layer", mix: "sum", seed: 7, budget_seconds: 60 },
      }
      """)
    #expect(configuration.socketMode == 0o600)
    #expect(configuration.promotion == .manual)
    #expect(configuration.debounce.quiet == .milliseconds(500))
    #expect(configuration.memoryBudget == 5_000_000_000)
    #expect(!configuration.checks.onArrival && configuration.checks.seeds == 3 && configuration.checks.rows == 50)
    #expect(configuration.checks.seed == 9)
    #expect(configuration.checks.policy[.noBetterThanShuffled] == .quarantine)
    #expect(configuration.checks.policy[.ordered] == .warn)
    #expect(configuration.code.isEnabled && configuration.code.sandbox.interpreter == "/opt/python3")
    #expect(configuration.code.sandbox.user == "runner" && configuration.code.sandbox.timeout == .milliseconds(1500))
    #expect(configuration.code.sandbox.required == [.limits] && configuration.code.sandbox.memoryBytes == 512 << 20)
    #expect(configuration.search.granularities == [.layer])
    #expect(configuration.search.elites == 3)
    #expect(configuration.search.mix == .sum)
    #expect(configuration.search.seed == 7)
  }

  @Test(arguments: [
    ("{ sockt: 'x' }", "configuration 't2d.json5' has no member 'sockt'; did you mean 'socket'?"),
    ("{ search: { iteration: 3 } }", "'search' has no member 'iteration'; did you mean 'iterations'?"),
    ("{ debounce: { quiet: 3 } }", "'debounce' has no member 'quiet'; known are quiet_seconds, limit_seconds"),
    ("{ code: { enable: true } }", "'code' has no member 'enable'; did you mean 'enabled'?"),
    (
      "{ code: { require: ['seccom'] } }",
      "'code.require' must be a list of strings; item 0 must be one of user, no_new_privileges, limits"
    ),
    ("{ code: { memory_limit: 1000 } }", "'code.memory_limit' must be from 33554432 to 1099511627776, and is 1000"),
    ("{ checks: { polic: {} } }", "'checks' has no member 'polic'; did you mean 'policy'?"),
    ("{ checks: { policy: { orderd: 'warn' } } }", "'checks.policy' has no member 'orderd'; did you mean 'ordered'?"),
    (
      "{ checks: { policy: { ordered: 'reward' } } }",
      "'checks.policy.ordered' must be one of warn, promote, quarantine, and is 'reward'"
    ),
    ("{ checks: { seeds: 0 } }", "'checks.seeds' must be from 1 to 1000, and is 0"),
    ("{ promotion: 'never' }", "'promotion' must be one of immediate, manual, and is 'never'"),
    ("{ promotion: 'manuel' }", "and is 'manuel'; did you mean 'manual'?"),
    ("{ socket_mode: '0999' }", "'socket_mode' must be an octal number such as \"0660\", and is '0999'"),
    ("{ socket_mode: 660 }", "'socket_mode' must be a string, and is the integer 660"),
    ("{ log_level: 'dbug' }", "'log_level' must be one of error, warning, notice, info, debug, and is 'dbug'"),
    ("{ debounce: { quiet_seconds: 4000 } }", "'debounce.quiet_seconds' must be from 0 to 3600, and is 4000"),
    ("{ worker: { threads: '2' } }", "'worker.threads' must be an integer, and is the string '2'"),
    ("{ worker: 2 }", "'worker' must be an object, and is the integer 2"),
    ("{ memory_budget: -1 }", "'memory_budget' must be at least 0, and is -1"),
    ("{ search: { lower: 2 } }", "not below 'upper'"),
    ("{ search: { lower: -1e308, upper: 1e308 } }", "'search.lower' must be from -100 to 100, and is -1e+308"),
    ("{ search: { elites: 40 } }", "of a population of 32"),
    ("{ search: { mix: 'product' } }", "must be one of sum, delta, and is 'product'"),
    ("{", "t2d.json5"),
    ("[]", "configuration 't2d.json5' must be an object, and is a list"),
  ]) func aMistakeIsNamed(_ text: String, _ expected: String) {
    let error = #expect(throws: ConfigurationError.self) { try read(text) }
    #expect(error?.description.contains(expected) == true, "\(String(describing: error))")
    #expect(error?.description.contains("'t2d.json5'") == true)
  }

  @Test func optionsAreReadAndMistakesNamed() throws {
    let options = try DaemonProgram.Options(["--prefix", "/x", "--socket=/y", "--config", "z"])
    #expect(options.prefix == "/x")
    #expect(options.socket == "/y")
    #expect(options.config == "z")
    #expect(try DaemonProgram.Options(["--version"]).text == "t2d \(programVersion)\n")
    for bad in [["--prefix"], ["--nothing"], ["x"], ["--socket="]] {
      let error = #expect(throws: DaemonError.self) { try DaemonProgram.Options(bad) }
      #expect(error?.exitCode == 64)
    }
  }

  @Test func aProcessThatKeepsDyingIsStartedMoreAndMoreSlowly() {
    var backoff = RestartBackoff()
    #expect(backoff.ended(afterRunning: .zero) == .zero)
    #expect(backoff.ended(afterRunning: .zero) == .milliseconds(200))
    #expect(backoff.ended(afterRunning: .zero) == .milliseconds(400))
    for _ in 0..<40 { _ = backoff.ended(afterRunning: .zero) }
    #expect(backoff.ended(afterRunning: .zero) == .seconds(30))
    #expect(backoff.ended(afterRunning: .seconds(90)) == .zero)
  }
}
