import StrictJSON
import SystemSupport
import Testing

@testable import Benchmarks

/// `t2bench --json` and `--compare`, on benchmarks whose figures are known.
@Suite struct CompareTests {
  private struct Outcome {
    var status: Int32
    var out: String
    var errors: String
  }

  /// The benchmark `halves`: a speed, and a share that has to be at least 0.4.
  private static func halves(speed: Double, share: Double) -> Benchmark {
    Benchmark(name: "halves", summary: "a half of something") { _ in
      [Measurement("speed", speed, "tok/s"), .ratio("share", share, .atLeast(0.4)), .ratio("aside", 7)]
    }
  }

  private static let broken = Benchmark(name: "broken", summary: "never works") { _ in
    throw BenchmarkError("the wheel came off")
  }

  private func run(_ arguments: [String], _ benchmarks: Benchmark...) -> Outcome {
    var outcome = Outcome(status: 0, out: "", errors: "")
    outcome.status = runBenchmarks(
      arguments, among: benchmarks, output: { outcome.out += $0 }, note: { outcome.errors += $0 })
    return outcome
  }

  /// A record that `benchmark` wrote, or any other text, as a file.
  private func withRecord(_ text: String, _ body: (String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      try FileSystem.writeAtomically("\(directory)/record.json", Array(text.utf8))
      try body("\(directory)/record.json")
    }
  }

  @Test func aRecordNamesTheMachineTheVersionsAndEveryFigure() throws {
    let outcome = run(["--json"], Self.halves(speed: 100, share: 0.5))
    #expect(outcome.status == 0)
    let record = try parseJSON(Array(outcome.out.utf8))
    #expect(record["machine"]?["memory_bytes"]?.integerValue ?? 0 > 1 << 20)
    #expect(record["machine"]?["system"]?.stringValue?.hasPrefix("Linux ") == true)
    #expect(record["machine"]?["versions"]?["openblas"]?.stringValue?.hasPrefix("OpenBLAS") == true)
    #expect(record["time"]?.stringValue?.hasSuffix("Z") == true)
    let entry = record["benchmarks"]?.arrayValue?.first
    #expect(entry?["name"] == "halves")
    #expect(
      entry?["measurements"] == [
        ["name": "speed", "value": 100.0, "unit": "tok/s"],
        ["name": "share", "value": 0.5, "unit": "", "at_least": 0.4, "kept": true],
        ["name": "aside", "value": 7.0, "unit": ""],
      ])
  }

  @Test func aComparisonRunsWhatTheRecordHasAndPrintsRatiosToIt() throws {
    try withRecord(run(["--json"], Self.halves(speed: 100, share: 0.5)).out) { path in
      let outcome = run(["--compare", path], Self.halves(speed: 150, share: 0.45), Self.broken)
      #expect(outcome.status == 0 && outcome.errors == "")
      #expect(outcome.out.contains("beside \(path)") && !outcome.out.contains("broken"))
      let lines = outcome.out.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
      #expect(lines.contains("speed 150 tok/s 100 x 1.50"))
      #expect(lines.contains("share 0.450 0.500 x 0.900 (at least 0.400)"))

      let json = try parseJSON(
        Array(run(["--json", "--compare", path], Self.halves(speed: 150, share: 0.45)).out.utf8))
      let speed = json["benchmarks"]?.arrayValue?.first?["measurements"]?.arrayValue?.first
      #expect(speed?["recorded"] == 100.0 && speed?["to_recorded"] == 1.5)
    }
  }

  @Test func aBoundThatFallsShortEndsAComparisonWithOne() throws {
    try withRecord(run(["--json"], Self.halves(speed: 100, share: 0.5)).out) { path in
      let short = run(["--compare", path], Self.halves(speed: 100, share: 0.39))
      #expect(short.status == 1)
      #expect(short.errors == "t2bench: halves: 'share' is 0.390, allowed is at least 0.400\n")
      #expect(short.out.contains("SHORT"))
      // Without a record the figures are there to be read.
      #expect(run([], Self.halves(speed: 100, share: 0.39)).status == 0)
      #expect(run(["--compare", path], Self.halves(speed: 100, share: .nan)).status == 1)
    }
  }

  @Test func aSpeedBelowNineTenthsOfThisMachinesRecordEndsAComparisonWithOne() throws {
    try withRecord(run(["--json"], Self.halves(speed: 100, share: 0.5)).out) { path in
      #expect(run(["--compare", path], Self.halves(speed: 90.1, share: 0.5)).status == 0)
      let slower = run(["--compare", path], Self.halves(speed: 89, share: 0.5))
      #expect(slower.status == 1)
      #expect(
        slower.errors == "t2bench: halves: 'speed' is 89.0 tok/s, slower than 0.9 of the recorded 100 tok/s\n")
      #expect(slower.out.contains("SLOWER"))
      #expect(run(["--compare", path], Self.halves(speed: .nan, share: 0.5)).status == 1)
    }
  }

  @Test func ofTimesTheLongerIsTheSlowerAndOfSizesAndExtremesNothingIs() throws {
    func times(_ factor: Double) -> Benchmark {
      Benchmark(name: "times", summary: "") { _ in
        [
          Measurement("wait", 3 * factor, "ms"), Measurement("size", 5 / factor, "MB"),
          .extreme("worst", 9 * factor, "ms"),
          .ratio("aside", 7 / factor),
        ]
      }
    }
    try withRecord(run(["--json"], times(1)).out) { path in
      #expect(run(["--compare", path], times(1.1)).status == 0)
      #expect(run(["--compare", path], times(0.1)).status == 0)
      let slower = run(["--compare", path], times(1.2))
      #expect(slower.status == 1)
      #expect(slower.errors == "t2bench: times: 'wait' is 3.60 ms, slower than 0.9 of the recorded 3.00 ms\n")
    }
  }

  /// A hundredth of the speed is another machine.
  @Test func speedsOfOtherMachinesAreNoBounds() throws {
    let written = run(["--json"], Self.halves(speed: 100, share: 0.5)).out
    let record = try parseJSON(Array(written.utf8))
    let processor = try #require(record["machine"]?["processor"]?.stringValue)
    let cores = try #require(record["cores"]?.intValue)
    for other in [
      written.replacing("\"processor\":\"\(processor)\"", with: "\"processor\":\"abacus\""),
      written.replacing("\"cores\":\(cores)", with: "\"cores\":\(cores + 1)"),
      written.replacing("\"processor\":\"\(processor)\",", with: ""),
    ] {
      #expect(other != written)
      try withRecord(other) { path in
        let outcome = run(["--compare", path], Self.halves(speed: 1, share: 0.5))
        #expect(outcome.status == 0 && !outcome.out.contains("SLOWER"))
      }
    }
  }

  @Test func allIsWhatEveryMachineCanMeasure() throws {
    let demanding = Benchmark(name: "demanding", summary: "", isStandard: false) { _ in [] }
    let all = [Self.halves(speed: 1, share: 1), demanding]
    #expect(try BenchmarkOptions([], among: all).benchmarks.map(\.name) == ["halves"])
    #expect(try BenchmarkOptions(["all"], among: all).benchmarks.map(\.name) == ["halves"])
    #expect(try BenchmarkOptions(["demanding"], among: all).benchmarks.map(\.name) == ["demanding"])
    #expect(try BenchmarkOptions(["all", "demanding"], among: all).benchmarks.map(\.name) == ["halves", "demanding"])
    #expect(Benchmark.all.filter { !$0.isStandard }.map(\.name) == ["llama", "large"])
  }

  @Test func theBoundIsTheProgramsAndNotTheRecords() throws {
    let written = run(["--json"], Self.halves(speed: 100, share: 0.3)).out
    let loosened = written.replacing("\"at_least\":0.4", with: "\"at_least\":0.1")
    #expect(loosened != written)
    try withRecord(loosened) { path in
      #expect(run(["--compare", path], Self.halves(speed: 100, share: 0.3)).status == 1)
    }
  }

  @Test func whatOnlyOneOfTheTwoHasIsSaid() throws {
    try withRecord(run(["--json"], Self.halves(speed: 100, share: 0.5)).out) { path in
      let renamed = Benchmark(name: "halves", summary: "") { _ in [Measurement("velocity", 9, "tok/s")] }
      let outcome = run(["--compare", path], renamed)
      #expect(outcome.status == 0)
      #expect(outcome.out.contains("speed: only in the record, 100"))
      #expect(outcome.out.contains("not in the record"))
    }
  }

  @Test func aBenchmarkThatFailsEndsAComparisonWithOne() throws {
    try withRecord(run(["--json"], Self.broken).out) { path in
      let outcome = run(["--compare", path], Self.broken)
      #expect(outcome.status == 1)
      #expect(outcome.errors == "t2bench: broken failed: the wheel came off\n")
    }
  }

  @Test func whatIsNoRecordIsRefusedBeforeAnythingIsMeasured() throws {
    for (text, expected) in [
      ("", "cannot read the record"), ("[]", "expected an object, found"), ("{}", "\"benchmarks\" is missing"),
      (#"{"benchmarks":[{"name":"halves"}]}"#, "benchmarks[0]: \"measurements\" is missing"),
      (
        #"{"benchmarks":[{"name":"gone","measurements":[]}]}"#,
        "has the benchmark 'gone', which this t2bench does not have; name those to run: halves"
      ),
    ] {
      try withRecord(text) { path in
        let outcome = run(["--compare", path], Self.halves(speed: 100, share: 0.5))
        #expect(outcome.status == 3 && outcome.out == "")
        #expect(outcome.errors.contains(expected) && outcome.errors.contains(path), "\(outcome.errors)")
      }
    }
    let missing = run(["--compare", "/nonexistent/r.json"], Self.halves(speed: 100, share: 0.5))
    #expect(missing.status == 3 && missing.errors.contains("'/nonexistent/r.json'"))
    #expect(run(["--compare"], Self.halves(speed: 1, share: 1)).errors == "t2bench: --compare needs a value\n")
  }

  @Test func theProcessorIsNamedWithItsFamily() {
    let text = "processor\t: 0\ncpu family\t: 25\nmodel name\t: AMD EPYC \n\nprocessor\t: 1\nmodel name\t: other\n"
    #expect(BenchmarkMachine.processor(cpuinfo: text) == "AMD EPYC, family 25")
    #expect(BenchmarkMachine.processor(cpuinfo: "processor\t: 0\nBogoMIPS\t: 50\n") == "")
  }

  @Test func waitingIsIdleAndGuestsAreCountedOnce() throws {
    let before = try #require(ProcessorUse(statText: "cpu  10 2 3 100 5 1 1 3 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"))
    #expect(before.busy == 20 && before.idle == 105)
    let after = try #require(ProcessorUse(statText: "cpu  30 2 3 150 15 1 1 3 27 0\n"))
    #expect(after.share(since: before) == 0.25)
    #expect(before.share(since: before).isNaN)
    #expect(ProcessorUse(statText: "cpu0 1 2 3 4\n") == nil && ProcessorUse(statText: "cpu  1 2 x\n") == nil)
    #expect(try #require(ProcessorUse.now()).idle > 0)
  }

  @Test func theHelpNamesEveryBenchmark() {
    let outcome = run(["--help"], Self.broken)
    #expect(outcome.status == 0)
    #expect(Benchmark.all.allSatisfy { outcome.out.contains("  \($0.name)") })
    #expect(outcome.out.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }
}
