import Glibc
import RPCClient
import RPCProtocol
import Records
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// What clients ask for that is not there, or not theirs. Beside them a well-behaved client is answered all the time.
/// (`HostileClientTests` has what they do to connections, `FloodTests` what they do by numbers.)
@Suite(.serialized) struct HostileRequestTests {
  /// None of them is the name of anything.
  static let names = [
    "", ".", "..", "../..", "../../etc/passwd", "/etc/passwd", "a/b", "nothing", "SCIENCE", " science", "science ",
    "\n",
    "ar\u{441}", "scien\u{441}e", "tin\u{443}", "sc\u{131}ence", "\u{202e}ecneics", "science\u{301}", "science\u{0}",
    "\u{0}",
    "science\u{200b}", "💥", "-rf", "%s%n%x", "${HOME}", "'; DROP TABLE experts; --", "@", "@1", "science@", "science@0",
    "science@2", "science@-1", "science@1@1", "science@1 ", "science@01", "science@+1", "science@0x1",
    "science@99999999999999999999",
    String(repeating: "x", count: 10_000), String(repeating: "é", count: 5_000), String(repeating: "../", count: 3_000),
  ]

  @Test func whatHasNoNameIsRefusedByEveryMethodThatTakesOne() throws {
    try withBank { daemon in
      let before = try bank(daemon)
      var refused = 0
      for method in RPCMethod.all where !method.takesFile {
        for parameter in method.parameters where isReference(parameter.name, of: method.name) {
          for name in Self.names {
            var params = try requiredParameters(of: method)
            params[parameter.name] = value(name, as: parameter)
            switch try ask(daemon, method.name, params) {
            case .success(let answer):
              // A list of what is there of it is one of nothing, and so is the history of a model that may have been.
              let lists = answer.objectValue?.members.compactMap(\.value.arrayValue) ?? []
              let isList = method.name.hasSuffix(".list") || method.name == "mixture.log"
              let isEmpty = isList && lists.allSatisfy(\.isEmpty)
              #expect(isEmpty, "\(method.name) \(parameter.name)=\(name.prefix(60)): \(answer.jsonText.prefix(300))")
            case .failure(let error):
              let isKnown = error.kind.hasPrefix("unknown_") || error.kind == "invalid_params"
              #expect(isKnown, "\(method.name) \(parameter.name)=\(name.prefix(60)): \(error)")
              expectShort(error)
            }
            refused += 1
          }
        }
      }
      print("hostile names: \(refused) requests")
      #expect(refused > 1_000)
      #expect(try bank(daemon) == before)
    }
  }

  @Test func whatIsRetiredIsNotMixedAndComesBackWhenItIsPromoted() throws {
    try withBank { daemon in
      try daemon.call("expert.retire", ["expert": "science"])
      for method in ["mixture.ablate", "task.adapt", "evaluate.run"] {
        let params: JSONObject = method == "task.adapt" ? ["task": "arc", "experts": ["science"]] : ["task": "arc"]
        switch try ask(daemon, method, params) {
        case .success(let answer):
          if let job = answer["job"] { _ = try daemon.call("job.cancel", ["job": job]) }
          #expect(method != "task.adapt", "\(answer.jsonText)")
        case .failure(let error): expectShort(error)
        }
      }
      #expect(try daemon.refusal("expert.rollback", ["expert": "nothing"]) == "unknown_expert")
      try daemon.call("expert.promote", ["expert": "science@1"])
      #expect(try daemon.call("expert.show", ["expert": "science"])["state"] == "active")
    }
  }

  @Test(.enabled(if: geteuid() == 0, "the tests do not run as root, so there is one user only"))
  func jobsAreWaitedForAndCancelledByWhoMayAsOftenAsTheyLike() throws {
    try withBank { daemon in
      let socket = daemon.daemon.paths.socket
      daemon.worker.script([.wait])
      let adapt = { (seed: Int) -> JSONObject in ["task": "arc", "seed": JSONValue(seed)] }
      let running = try #require(try daemon.call("task.adapt", adapt(0))["job"])

      // The same thing again and again is one job, whoever asks.
      for _ in 0..<200 { #expect(try daemon.call("task.adapt", adapt(0))["job"] == running) }
      // Others are queued, each once.
      var jobs: [JSONValue] = []
      let ids = try (1...400).map { try daemon.client.send("task.adapt", adapt($0)) }
      for id in ids { jobs.append(try #require(try daemon.client.receive(id)["job"])) }
      #expect(Set(jobs.map(\.jsonText)).count == 400)
      #expect(try daemon.call("system.status")["jobs"] == ["queued": 400, "running": 1])

      // Who may only read cancels nothing, and may wait.
      let stranger = try asUser(65_534) { try RPCClient(socketPath: socket) }
      for job in jobs.prefix(100) + [running, 999_999] {
        let error = #expect(throws: RPCClientError.self) { try stranger.call("job.cancel", ["job": job]) }
        guard case .refused(let refusal)? = error, refusal.kind == "permission" else {
          Issue.record("a stranger's cancel: \(String(describing: error))")
          return
        }
      }
      #expect(try stranger.call("job.wait", ["job": running, "timeout_ms": 0])["state"] == "running")
      #expect(try stranger.call("job.wait", ["job": jobs[7], "timeout_ms": 1])["state"] == "queued")
      for timeout: JSONValue in [-1, .number(9_223_372_036_854_775_808), 600_001, 0.5, "1", .null, []] {
        #expect(
          try daemon.refusal("job.wait", ["job": running, "timeout_ms": timeout]) == "invalid_params",
          "\(timeout.jsonText)")
      }
      for job: JSONValue in [0, -1, .number(9_223_372_036_854_775_808), "1", .null] {
        for method in ["job.wait", "job.show", "job.cancel"] {
          #expect(try daemon.refusal(method, ["job": job]) == "invalid_params", "\(method) \(job.jsonText)")
        }
      }
      for method in ["job.wait", "job.show", "job.cancel"] {
        #expect(try daemon.refusal(method, ["job": 999_999_999]) == "unknown_job")
      }

      // Waiting is no work: as many as a connection may have under way, and they go with it.
      do {
        let waiting = try asUser(65_534) { try RPCClient(socketPath: socket) }
        for _ in 0..<60 { _ = try waiting.send("job.wait", ["job": running, "timeout_ms": 600_000]) }
        #expect(try daemon.call("system.status")["jobs"]?["running"] == 1)
      }

      for job in jobs + jobs { #expect(try daemon.call("job.cancel", ["job": job])["state"] == "cancelled") }
      daemon.worker.release()
      #expect(try daemon.wait(running)["state"] == "done")
      #expect(try daemon.call("job.cancel", ["job": running])["state"] == "done")
      #expect(try daemon.call("system.status")["jobs"] == ["queued": 0, "running": 0])
    }
  }

  // MARK: - What they share

  /// A bank with one of each, and a client who asks for its mixture all the time.
  private func withBank(_ body: (Harness) throws -> Void) throws {
    var configuration = Configuration.forTests
    configuration.socketMode = 0o666
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try systemCall("open to all", daemon.prefix) { unsafe chmod(daemon.prefix, 0o755) }
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTaskWithEval("arc")
      _ = try daemon.settledMixture("arc")
      let request = #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"arc"}}"# + "\n"
      let healthy = try HealthyClient(daemon.daemon.paths.socket, request)
      defer { healthy.stop() }
      func idle() throws -> Latencies {
        _ = healthy.take()
        let before = healthy.answered
        try daemon.until("answers") { healthy.answered > before + 300 }
        return healthy.take()
      }
      var latencies = try idle()
      try body(daemon)
      let beside = healthy.take()
      latencies.add(try idle())
      #expect(healthy.failure == nil)
      let ratio = beside.ratio(to: latencies, noise: .milliseconds(2))
      #expect(ratio <= 10, "its p99 is \(ratio) times that of its idle time")
    }
  }

  /// What there is of everything.
  private func bank(_ daemon: Harness) throws -> [String] {
    try ["model.list", "expert.list", "task.list", "mixture.list", "job.list", "check.list"].map {
      try daemon.call($0).jsonText
    }
  }

  private func ask(_ daemon: Harness, _ method: String, _ params: JSONObject) throws -> Result<JSONValue, RPCError> {
    do {
      return .success(try daemon.client.call(method, params))
    } catch {
      guard case .refused(let refusal) = error else { throw error }
      return .failure(refusal)
    }
  }

  /// A name is cut where it is said again, and has nothing that a terminal would do.
  private func expectShort(_ error: RPCError) {
    let text = error.message + (error.hint ?? "")
    #expect(text.utf8.count < 600, "\(text)")
    #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f && $0.value != 0x202e }, "\(text)")
  }

  /// Whether it names something that must be there.
  private func isReference(_ parameter: String, of method: String) -> Bool {
    switch parameter {
    case "expert", "task", "model", "dispatcher", "experts", "alpha": true
    // Of a new thing elsewhere.
    case "name": ["model.show", "model.remove"].contains(method)
    case "mixture": method == "score"
    default: false
    }
  }

  private func value(_ name: String, as parameter: MemberDefinition) -> JSONValue {
    switch parameter.name {
    case "experts": [.string(name)]
    case "alpha": .object([name: 1])
    default: .string(name)
    }
  }

  private func requiredParameters(of method: RPCMethod) throws -> JSONObject {
    var params: JSONObject = [:]
    for parameter in method.parameters where parameter.isRequired {
      params[parameter.name] =
        switch parameter.name {
        case "task": "arc"
        case "expert": "science"
        case "name": "tiny"
        case "kind": "shuffle"
        case "check", "job": 1
        default: "a"
        }
    }
    if ["score", "dispatch.run", "generate"].contains(method.name) { params["prompt"] = "a" }
    if method.name == "score" { params["continuation"] = "b" }
    return params
  }
}
