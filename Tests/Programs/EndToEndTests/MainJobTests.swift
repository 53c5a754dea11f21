import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The real programs on the real model, one test after the other: two searches at once would only wait for each other.
@Suite(.serialized, .enabled(if: realModel != nil, "T2D_TEST_MODEL names no model; etc/test sets it"))
enum EndToEnd {}

/// The main job of the README on SmolLM2-135M-Instruct, through every layer.
extension EndToEnd {
  @Suite(.serialized) struct MainJobTests {
    @Test func tenQuestionsFindTheExpertThatHelpsAndTheMixtureBeatsTheBase() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExamples(daemon)
        try client.call("system.sync")
        let job = try #require(try client.call("task.adapt", ["task": "arc_easy"]).objectValue?["job"]?.integerValue)
        try daemon.finish(job)

        let mixture = try #require(try client.call("mixture.get", ["task": "arc_easy"]).objectValue)
        let alpha = try #require(mixture["alpha"]?.objectValue)
        let science = try #require(alpha["science"]?.doubleValue)
        let social = try #require(alpha["social"]?.doubleValue)
        #expect(science > social)
        #expect(mixture["stale"] == false)

        // The answer of the command line is the answer of the socket.
        let (text, exit) = try daemon.t2ctl("--json", "mixture", "get", "arc_easy")
        #expect(exit == .code(0))
        #expect(try parseJSON(Array(text.utf8)).objectValue?["alpha"] == .object(alpha))

        // The vectors are an expert in themselves.
        let vectors = daemon.prefix + "/m.safetensors"
        #expect(try daemon.t2ctl("mixture", "get", "arc_easy", "--vectors", vectors).exit == .code(0))
        let verdict = try client.call(
          "expert.verify", ["path": .string(vectors)], file: try FileDescriptor.open(vectors))
        #expect(verdict.objectValue?["ok"] == true, "\(verdict.jsonText)")

        // On 400 rows that the search never saw.
        try dropEvaluationTask(daemon, client, "arc_easy.eval.jsonl", as: "report")
        let base = try items(daemon, client, ["task": "report", "base": true])
        let mixed = try items(daemon, client, ["task": "report", "alpha": .object(alpha)])
        #expect(base.count == 400 && mixed.count == 400)
        let won = zip(base, mixed).count { !$0 && $1 }
        let lost = zip(base, mixed).count { $0 && !$1 }
        #expect(exactMcNemar(won, lost) < 0.01, "won \(won), lost \(lost)")

        // A restarted daemon serves what it had at once.
        #expect(try daemon.stop() == .code(0), "\(daemon.log)")
        try daemon.restart()
        let again = try #require(try daemon.client().call("mixture.get", ["task": "arc_easy"]).objectValue)
        #expect(again["alpha"] == .object(alpha))
      }
    }

    @Test func aChangedExpertMakesTheMixtureStaleAndStartsASearchByItself() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExamples(daemon, settings: "{ search: { iterations: 1, population: 4, shots: 2, seed: 1 } }")
        try client.call("system.sync")
        let first = try #require(try client.call("task.adapt", ["task": "arc_easy"]).objectValue?["job"]?.integerValue)
        try daemon.finish(first)

        // Any other vector for this model will do: `social` under the name of `science`.
        var bytes = try FileSystem.readAll(
          "\(repository)/Tests/Programs/EndToEndTests/Fixtures/experts/social.safetensors", maximumBytes: 1 << 22)
        try rename(in: &bytes, #""t2.name":"social""#, #""t2.name":"science""#)
        try daemon.drop(bytes, "experts", "science.safetensors")
        try client.call("system.sync")
        let stale = try client.call("mixture.get", ["task": "arc_easy"])
        #expect(stale.objectValue?["stale"] == true)
        try eventually("the new version of science is in the mixture", within: .seconds(300)) {
          let mixture = try client.call("mixture.get", ["task": "arc_easy"]).objectValue
          let science = mixture?["experts"]?.arrayValue?.first { $0.objectValue?["name"] == "science" }
          return mixture?["stale"] == false && science?.objectValue?["version"] == 2
        }
      }
    }

    @Test func aWorkerKilledInTheMiddleOfASearchChangesNothingInTheResult() throws {
      let settings = "{ search: { iterations: 3, population: 6, shots: 4, seed: 11 } }"
      func search(killing: Bool) throws -> JSONValue? {
        var result: JSONValue?
        try withDaemon(logged: killing ? ["the worker ended"] : []) { daemon in
          let client = try daemon.client()
          try addModel(daemon, client)
          try dropExamples(daemon, settings: settings)
          try client.call("system.sync")
          let job = try #require(try client.call("task.adapt", ["task": "arc_easy"]).objectValue?["job"]?.integerValue)
          if killing {
            try eventually("the search has made progress", within: .seconds(300)) {
              (try client.call("job.show", ["job": .integer(job)]).objectValue?["fraction"]?.doubleValue ?? 0) > 0.2
            }
            let status = try client.call("system.status").objectValue
            let pid = try #require(status?["worker"]?.objectValue?["pid"]?.integerValue)
            #expect(Glibc.kill(pid_t(pid), SIGKILL) == 0)
          }
          try daemon.finish(job)
          result = try client.call("mixture.get", ["task": "arc_easy"]).objectValue?["alpha"]
        }
        return result
      }
      let undisturbed = try search(killing: false)
      #expect(undisturbed != nil)
      #expect(try search(killing: true) == undisturbed)
    }

    @Test func theDaemonAnswersInUnderTwoMillisecondsWhileASearchRuns() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExamples(daemon, settings: "{ search: { iterations: 1, population: 4, shots: 2, seed: 1 } }")
        try client.call("system.sync")
        let first = try #require(try client.call("task.adapt", ["task": "arc_easy"]).objectValue?["job"]?.integerValue)
        try daemon.finish(first)
        let second = try #require(
          try client.call(
            "task.adapt", ["task": "arc_easy", "iterations": 20, "population": 32, "shots": 10, "seed": 5]
          )
          .objectValue?["job"]?.integerValue)
        try eventually("the search runs", within: .seconds(60)) {
          try client.call("job.show", ["job": .integer(second)]).objectValue?["state"] == "running"
        }
        var times: [Duration] = []
        for _ in 0..<2_000 {
          let start = MonotonicInstant.now
          try client.call("mixture.get", ["task": "arc_easy"])
          times.append(MonotonicInstant.now - start)
        }
        times.sort()
        #expect(times[1_000] < .milliseconds(1), "the median was \(times[1_000])")
        try client.call("job.cancel", ["job": .integer(second)])
        try eventually("the cancelled search has ended", within: .seconds(30)) {
          try client.call("job.show", ["job": .integer(second)]).objectValue?["state"] == "cancelled"
        }
      }
    }
  }

}

/// Registers the real model and waits until it is ready.
func addModel(_ daemon: RunningDaemon, _ client: RPCClient) throws {
  let answer = try client.call("model.add", ["path": .string(realModel ?? ""), "name": "smollm2"])
  if let job = answer.objectValue?["job"]?.integerValue { try daemon.finish(job) }
}

/// The two starter experts.
func dropExperts(_ daemon: RunningDaemon) throws {
  for expert in ["science", "social"] {
    let bytes = try FileSystem.readAll(
      "\(repository)/Tests/Programs/EndToEndTests/Fixtures/experts/\(expert).safetensors", maximumBytes: 1 << 22)
    try daemon.drop(bytes, "experts", "\(expert).safetensors")
  }
}

/// The two starter experts and the example task; `settings` replaces its task.json5.
func dropExamples(_ daemon: RunningDaemon, settings: String? = nil) throws {
  try dropExperts(daemon)
  let example = "\(repository)/etc/examples/tasks/arc_easy"
  try dropTask(
    daemon, "arc_easy",
    [
      ("fewshot.jsonl", FileSystem.readAll("\(example)/fewshot.jsonl", maximumBytes: 1 << 20)),
      (
        "task.json5",
        settings.map { Array($0.utf8) } ?? FileSystem.readAll("\(example)/task.json5", maximumBytes: 1 << 16)
      ),
    ])
}

/// A task for its evaluation rows alone: the search that it would start is cancelled.
func dropEvaluationTask(_ daemon: RunningDaemon, _ client: RPCClient, _ rows: String, as name: String) throws {
  try dropTask(
    daemon, name,
    [
      (
        "fewshot.jsonl",
        FileSystem.readAll("\(repository)/etc/examples/tasks/arc_challenge.jsonl", maximumBytes: 1 << 20)
      ),
      (
        "eval.jsonl",
        FileSystem.readAll("\(repository)/Tests/Programs/EndToEndTests/Fixtures/\(rows)", maximumBytes: 1 << 20)
      ),
    ])
  try client.call("system.sync")
  for job in try client.call("job.list").objectValue?["jobs"]?.arrayValue ?? [] {
    let record = job.objectValue
    guard record?["kind"] == "adapt", record?["task"]?.stringValue == name, let id = record?["job"]?.integerValue,
      record?["state"] == "queued" || record?["state"] == "running"
    else { continue }
    try client.call("job.cancel", ["job": .integer(id)])
  }
}

/// A task's directory, made beside its place and renamed into it.
func dropTask(_ daemon: RunningDaemon, _ name: String, _ files: [(name: String, bytes: [UInt8])]) throws {
  let spool = "\(daemon.prefix)/var/spool/t2d/tasks"
  try FileSystem.createDirectories("\(spool)/.\(name).part")
  for file in files { try FileSystem.writeAtomically("\(spool)/.\(name).part/\(file.name)", file.bytes) }
  try FileSystem.rename("\(spool)/.\(name).part", to: "\(spool)/\(name)")
}

/// Whether each evaluation row was answered rightly by the raw sums (`acc`).
func items(_ daemon: RunningDaemon, _ client: RPCClient, _ params: JSONObject) throws -> [Bool] {
  let job = try #require(try client.call("evaluate.run", params).objectValue?["job"]?.integerValue)
  let result = try daemon.finish(job)["result"]?.objectValue
  let items = try #require(result?["items"]?.arrayValue)
  return items.map { $0.objectValue?["acc"]?.boolValue ?? ($0.objectValue?["acc"]?.doubleValue == 1) }
}

/// Two-sided exact McNemar test, written out here so that the claim does not rest on the code that it tests.
func exactMcNemar(_ won: Int, _ lost: Int) -> Double {
  let n = won + lost
  guard n > 0 else { return 1 }
  var tail = 0.0
  for k in 0...min(won, lost) {
    tail += exp(lgamma(Double(n) + 1) - lgamma(Double(k) + 1) - lgamma(Double(n - k) + 1) - Double(n) * log(2))
  }
  return min(1, 2 * tail)
}

/// Replaces a metadata text in a safetensors header; the header's length is mended.
func rename(in bytes: inout [UInt8], _ old: String, _ new: String) throws {
  let length = bytes[..<8].enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
  var header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
  for spaced in [old, old.replacing(":", with: ": ")] where header.contains(spaced) {
    header.replace(spaced, with: new)
  }
  guard header.contains(new) else { throw Failure("the example expert's header holds no \(old)") }
  while header.utf8.count % 8 != 0 { header += " " }
  var count = header.utf8.count
  var prefix: [UInt8] = []
  for _ in 0..<8 {
    prefix.append(UInt8(truncatingIfNeeded: count))
    count >>= 8
  }
  bytes = prefix + Array(header.utf8) + bytes[(8 + length)...]
}
