import StrictJSON
import Results
import Testing
import WorkerProtocol

@Suite struct JobSpecTests {
  @Test func theKindsHaveNamesOfTheirOwn() {
    #expect(Set(JobKind.specs.map { $0.kind }).count == JobKind.specs.count)
    #expect(JobKind.specs.allSatisfy { $0.kind.declaration == $0 })
  }

  @Test func everyKindIsInAnExampleThatIsSentAndStored() {
    let sent = WorkerMessageTests.calls.compactMap { call in
      if case .startJob(let start) = call { start.spec.kind } else { nil }
    }
    #expect(Set(sent) == Set(JobKind.specs.map { $0.kind }))
  }

  /// Such as one of a newer t2d.
  @Test func anUnknownKindIsRefusedWithThoseThatThereAre() throws {
    let stored = #expect(throws: WorkerProtocolError.self) { try JobKind("adpat").decode([:]) }
    let start: JSONValue = ["job": 1, "kind": "adpat", "spec": [:], "journal": []]
    let sent = #expect(throws: WorkerProtocolError.self) { try JobStart(decoding: start) }
    let problem = "'kind' must be one of inspect, adapt, "
    for error in [stored, sent] {
      let text = try #require(error).description
      #expect(text.contains(problem) && text.contains("did you mean 'adapt'?"), "\(text)")
    }
  }
}
