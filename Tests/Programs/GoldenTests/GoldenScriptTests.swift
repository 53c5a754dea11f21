import RPCProtocol
import Records
import Results
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// What is public, as it was recorded: every method and every error that a client can provoke, in Tests/Golden/rpc.
///
/// After a change that is meant, record anew and look at what git shows:
///
///     T2D_RECORD=1 swift test --filter GoldenScriptTests
///
/// That keeps the requests and comments of the scripts and rewrites the answers. A new exchange is a `-->` line with a
/// comment above it, written by hand and then recorded. Paths in requests begin with /prefix, /model or /plain. Where a
/// method takes a file, the one at `path` is passed along, if it is there; for `system.backup` a new one at `NAME.tar`.
@Suite(.serialized) struct GoldenScriptTests {
  private static let records = environmentVariable("T2D_RECORD") == "1"

  /// Errors that stand in no script, and why not.
  private static let unprovoked: [RPCErrorCode: String] = [
    .internal: "would be a defect of the daemon, or a disk that cannot be read for now: DaemonLifecycleTests",
    .badExpert: "needs a stored expert that is whole and cannot be used, and none is taken in: WorkerServiceTests",
    .limit: "answers a connection beyond the limit, not a request: RPCServerTests",
    .permission: "needs a client of another user: RPCServerTests",
    .timeout: "needs a file that is being written while it is asked: DirectoryWatcherTests",
    .tooLarge: "needs a line of a MiB or an answer beyond 64: RPCServerTests",
    .overloaded: "needs more requests in flight than one client has: RPCServerTests",
    .shuttingDown: "needs a request that is in flight when the daemon ends: RPCServerTests and DaemonLifecycleTests",
    .notEnoughMemory: "needs a worker with less memory than a model needs: MemoryTests of the worker",
    .jobFailed: "is the error of a job whose worker died three times, which no client brings about: JobQueueTests",
    .noMixtureYet: "needs a search that waits while it is asked: AdaptationTests",
    .notStored: "needs a disk that refuses: BrokenDiskTests",
    .unconfirmed: "needs a disk that refuses: BrokenDiskTests",
  ]

  @Test func theDaemonAnswersAsItIsRecorded() throws {
    try withTemporaryDirectory { directory in
      let bank = try Bank(directory: directory)
      try bank.fill()
      defer { #expect(throws: Never.self) { try bank.close() } }
      let placeholders = Placeholders(paths: [
        (bank.prefix, "/prefix"), (bank.model, "/model"), (bank.plain, "/plain"), (directory, "/directory"),
      ])
      for method in try GoldenScript.recordedMethods() {
        let script = try GoldenScript(method: method)
        var played = script
        for index in script.scenes.indices {
          try bank.play(script.scenes[index].name) { socket in
            try play(&played.scenes[index], on: socket, placeholders)
          }
        }
        if Self.records {
          try played.record()
        } else {
          compare(script, played, placeholders)
        }
      }
    }
  }

  /// Sends a scene's requests, each when the one before is answered, and puts what came into it.
  private func play(_ scene: inout GoldenScript.Scene, on socket: String, _ placeholders: Placeholders) throws {
    var client: LineClient?
    for index in scene.exchanges.indices {
      let exchange = scene.exchanges[index]
      let connection = try client ?? LineClient(socket)
      client = connection
      let request = placeholders.sent(exchange.request)
      try connection.send(request, passing: passedFile(request))
      var received: [String] = []
      var isAnswered = exchange.asked?["jsonrpc"] != nil && exchange.asked?["id"] == nil
      while !isAnswered {
        let line: String
        do { line = try connection.line() } catch {
          throw GoldenScript.Failure("no answer to \(exchange.request): \(error)")
        }
        received.append(placeholders.kept(line))
        let answer = try parseJSON(Array(line.utf8))
        isAnswered = answer["id"] != nil
        // Nobody knows where the next line begins: the daemon closes.
        if answer["error"]?["code"] == .integer(Int64(RPCErrorCode.parseError.rawValue)) { client = nil }
      }
      scene.exchanges[index].received = received
    }
  }

  private func passedFile(_ request: String) -> FileDescriptor? {
    guard let json = try? parseJSON(Array(request.utf8)), let method = json["method"]?.stringValue,
      RPCMethod.named(method)?.takesFile == true, let path = json["params"]?["path"]?.stringValue
    else { return nil }
    // A file that is written is new; it goes when nobody has it open.
    if method == SystemBackup.name, path.hasSuffix(".tar") { return try? NewFile(at: path, mode: 0o600).descriptor }
    return try? FileDescriptor.open(path)
  }

  private func compare(_ script: GoldenScript, _ played: GoldenScript, _ placeholders: Placeholders) {
    for (recorded, now) in zip(script.exchanges, played.exchanges) {
      func values(_ lines: [String]) -> JSONValue {
        .array(lines.map { line in (try? parseJSON(Array(line.utf8))).map { placeholders.kept($0) } ?? .string(line) })
      }
      let found = differences(recorded: values(recorded.received), now: values(now.received))
      guard !found.isEmpty else { continue }
      Issue.record(
        """
        \(script.method).rpc: the answer to
          --> \(recorded.request)
        is not what is recorded:
          \(found.prefix(20).joined(separator: "\n  "))
        If it is meant so, record it anew: T2D_RECORD=1 swift test --filter GoldenScriptTests
        """)
    }
  }

  @Test func everyMethodHasItsScriptAndEveryScriptItsMethod() throws {
    let recorded = Set(try GoldenScript.recordedMethods())
    for method in RPCMethod.all where !recorded.contains(method.name) {
      Issue.record(
        "\(method.name) has no script: write Tests/Golden/rpc/\(method.name).rpc with its requests, and record it")
    }
    for name in recorded {
      #expect(RPCMethod.named(name) != nil, "Tests/Golden/rpc/\(name).rpc is of no method")
      let own = try GoldenScript(method: name).exchanges.filter { $0.method == name }
      #expect(own.contains { $0.result != nil }, "\(name).rpc has no result of \(name)")
    }
  }

  /// What is declared is all that there is: nothing is lost where an answer is read and written again.
  @Test(arguments: RPCMethod.all.map(\.name))
  func everyResultIsWhatItsMethodDeclares(name: String) throws {
    func again<Method: RPCMethodDeclaration>(_ method: Method.Type, _ result: JSONValue) throws -> JSONValue {
      RecordWriter.json(try RecordReader(unknownMembers: .ignored).read(result, as: Method.Result.self))
    }
    let method = try #require(RPCMethod.declarations.first { $0.name == name })
    var count = 0
    for script in try GoldenScript.recordedMethods() {
      for exchange in try GoldenScript(method: script).exchanges where exchange.method == name {
        guard let result = exchange.result else { continue }
        count += 1
        let found = differences(recorded: result, now: try again(method, result))
        #expect(found.isEmpty, "\(script).rpc, the result of \(exchange.request)")
      }
    }
    #expect(count > 0)
  }

  private static let jobResults: [any JobResult.Type] = [
    Mixture.self, CheckResult.self, EvaluateResult.self, CompareResult.self, SweepResult.self,
    DispatchEvaluateResult.self, TrainResult.self, AblateResult.self,
  ]

  /// The same of what jobs have come to, by their kind.
  @Test(arguments: jobResults.map { $0.kind })
  func everyJobHasTheResultThatItsKindDeclares(kind: JobKind) throws {
    func again<Result: JobResult>(_ type: Result.Type, _ json: JSONValue) throws -> JSONValue {
      RecordWriter.json(try RecordReader(unknownMembers: .ignored).read(json, as: type))
    }
    let type = try #require(Self.jobResults.first { $0.kind == kind })
    var count = 0
    for script in try GoldenScript.recordedMethods() {
      for exchange in try GoldenScript(method: script).exchanges
      where exchange.result?["kind"]?.stringValue == kind.name {
        guard exchange.result?["state"] == "done", let result = exchange.result?["result"] else { continue }
        count += 1
        let found = differences(recorded: result, now: try again(type, result))
        #expect(found.isEmpty, "\(script).rpc, the job of \(exchange.request)")
      }
    }
    #expect(count > 0)
  }

  @Test func everyErrorThatAClientCanProvokeStandsInAScript() throws {
    var seen: Set<String> = []
    for method in try GoldenScript.recordedMethods() {
      for exchange in try GoldenScript(method: method).exchanges {
        if let kind = exchange.error?["data"]?["kind"]?.stringValue { seen.insert(kind) }
        // A job's error has its place in the job.
        if let kind = exchange.result?["error"]?["kind"]?.stringValue { seen.insert(kind) }
      }
    }
    for code in RPCErrorCode.allCases {
      let isListed = Self.unprovoked[code] != nil
      #expect(
        seen.contains(code.kind) != isListed,
        isListed ? "\(code.kind) is in a script; take it off the list" : "\(code.kind) is in no script")
    }
  }
}
