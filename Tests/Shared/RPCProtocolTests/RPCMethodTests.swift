import Records
import RPCProtocol
import StrictJSON
import Testing

@Suite struct RPCMethodTests {
  @Test func namesAreUniqueAndLowerCase() {
    #expect(Set(RPCMethod.all.map(\.name)).count == RPCMethod.all.count)
    for method in RPCMethod.all {
      #expect(method.name.utf8.allSatisfy { (97...122).contains($0) || $0 == 0x2e || $0 == 0x5f })
      #expect(Set(method.parameters.map(\.name)).count == method.parameters.count, "\(method.name)")
      #expect(method.parameters.count(where: { $0.type == .boolean && $0.isRequired }) == 0)
      #expect(RPCMethod.named(method.name) == method)
    }
  }

  @Test func everyWrongTypeOfEveryParameterIsRefused() throws {
    let samples: [JSONValue] = [nil, true, 7, 1.5, "x", [], ["x"], [1.5], [:], ["a": "b"]]
    var refused = 0
    for method in RPCMethod.all {
      for parameter in method.parameters {
        for sample in samples {
          guard let problem = parameter.type.problem(with: sample) else { continue }
          refused += 1
          #expect(!problem.isEmpty)
          let error = #expect(throws: RPCError.self) { try method.check([parameter.name: sample]) }
          #expect(error?.kind == "invalid_params")
          #expect(error?.message.contains("'\(parameter.name)'") == true)
        }
        // Null is never a value: leave the member out instead.
        #expect(parameter.type.problem(with: nil) != nil)
      }
    }
    #expect(refused > 500)
  }

  @Test func anUnknownParameterIsRefusedWithTheNearestName() throws {
    let method = try #require(RPCMethod.named("mixture.get"))
    let error = #expect(throws: RPCError.self) { try method.check(["taks": "arc_easy"]) }
    #expect(error?.message == "mixture.get has no parameter 'taks'")
    #expect(error?.hint == "did you mean 'task'?")
  }

  @Test func aMissingParameterIsNamed() throws {
    let method = try #require(RPCMethod.named("mixture.get"))
    let error = #expect(throws: RPCError.self) { try method.check(["model": "m"]) }
    #expect(error?.message == "mixture.get needs 'task'")
  }

  @Test func numbersOutsideTheirRangeAreRefused() throws {
    let method = try #require(RPCMethod.named("job.wait"))
    for value: JSONValue in [0, -1, 1.0] { #expect(throws: RPCError.self) { try method.check(["job": value]) } }
    try method.check(["job": 1, "timeout_ms": 0])
    #expect(throws: RPCError.self) { try method.check(["job": 1, "timeout_ms": -1]) }
    #expect(throws: RPCError.self) { try method.check(["job": 1, "timeout_ms": .integer(Int64.max)]) }
  }

  @Test func aTextMayBeTokenIDs() throws {
    let method = try #require(RPCMethod.named("score"))
    try method.check(["prompt": "a", "continuation": [1, 2]])
    for bad: JSONValue in [[-1], [1.5], ["a"], [4_294_967_296]] {
      #expect(throws: RPCError.self) { try method.check(["prompt": bad, "continuation": "b"]) }
    }
    try method.check(["prompt": "a", "continuation": "b", "alpha": ["science": 0.7, "social@2": [0.1, 0.2]]])
    // A number that no float holds.
    for alpha in [["science": 1e39], ["science": [0.1, -1e39]], ["science": []]] as [JSONValue] {
      #expect(throws: RPCError.self) { try method.check(["prompt": "a", "continuation": "b", "alpha": alpha]) }
    }
  }

  @Test func theDescriptionNamesEveryMethodAndParameter() throws {
    let methods = RPCMethod.description.methods
    #expect(methods.count == RPCMethod.all.count)
    let get = try #require(methods.first { $0.name == "mixture.get" })
    #expect(get.access == "read" && get.params.first?.name == "task")
    #expect(get.result.hasPrefix("not_modified, task, model, alpha {NAME}, granularity"))
  }
}

@Suite struct RPCErrorCodeTests {
  @Test func kindsAreUnique() {
    #expect(Set(RPCErrorCode.allCases.map(\.kind)).count == RPCErrorCode.allCases.count)
    #expect(RPCErrorCode.allCases.allSatisfy { !$0.summary.isEmpty })
  }

  /// Clients compare these numbers. A line may be added here, none may be edited.
  @Test func numbersStayWhatTheyAre() {
    let published: [String: Int] = [
      "parse_error": -32700, "invalid_request": -32600, "method_not_found": -32601, "invalid_params": -32602,
      "internal": -32603, "limit": -32000, "permission": -32001, "timeout": -32002, "too_large": -32003,
      "shutting_down": -32004, "overloaded": -32005, "unknown_model": 1000, "unknown_expert": 1001,
      "unknown_task": 1002, "unknown_job": 1003, "ambiguous_model": 1004, "no_model": 1005, "no_mixture_yet": 1006,
      "waiting_for_experts": 1007, "conflict": 1008, "foreign_expert": 1009, "bad_mixture": 1010,
      "worker_unavailable": 1100, "model_error": 1101, "job_failed": 1102, "cancelled": 1103, "no_tokenizer": 1104,
      "context_exceeded": 1105, "not_enough_memory": 1106, "bad_file": 1200, "bad_expert": 1201, "bad_task": 1202,
      "bad_model": 1203,
      "file_not_readable": 1204, "incompatible_shapes": 1011, "unknown_check": 1012,
      "no_dispatcher": 1013, "empty_bank": 1014, "unknown_label": 1015, "not_stored": 1016, "unconfirmed": 1017,
      "bad_template": 1205, "file_not_writable": 1206, "damaged": 1018, "not_found": 1019,
    ]
    #expect(published == Dictionary(uniqueKeysWithValues: RPCErrorCode.allCases.map { ($0.kind, $0.rawValue) }))
  }

  @Test func anErrorSurvivesItsJSON() throws {
    let error = RPCError(.noMixtureYet, "no mixture of 'x' yet", hint: "wait for job 7", details: ["job": 7])
    #expect(RPCError(json: error.json) == error)
    #expect(error.json["data"]?["job"] == 7)
    #expect(RPCError(json: ["code": 4711, "message": "newer"])?.kind == "unknown")
    #expect(RPCError(json: ["code": "x"]) == nil)
  }

  @Test func textsOfClientsAreCutAndEscaped() {
    #expect(quoted("a\u{1b}[31m\n") == "'a\\u{1b}[31m\\u{a}'")
    #expect(quoted("\u{202e}x") == "'\\u{202e}x'")
    #expect(quoted(String(repeating: "é", count: 100)) == "'" + String(repeating: "é", count: 32) + "...'")
  }
}
