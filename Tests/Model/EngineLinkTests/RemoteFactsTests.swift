import Digests
import EngineLink
import FakeEngine
import StrictJSON
import TestSupport
import Testing

@Suite struct RemoteFactsTests {
  @Test func theFactsAreThoseOfTheEngine() throws {
    var model = FakeModel()
    model.parallelism = 3
    model.warnings = ["a word"]
    try withEngine(model) { _, connection throws in
      let facts = try connection.askFacts(patience)
      #expect(facts.engine.name == "fake" && facts.engine.version == "fake 1.0" && facts.engine.type == "float32")
      #expect(facts.engine.parallelism == 3)
      #expect(facts.digest.description == model.digest)
      #expect(facts.layout == model.layout)
      #expect(facts.layout.matrices.map(\.layer) == [0, 0, 1, 1])
      #expect(facts.model.vocabulary == 50 && facts.model.context == 64 && facts.model.endIDs == [1])
      #expect(facts.abilities.gradients && facts.abilities.logits && facts.abilities.generate)
      #expect(!facts.abilities.images && facts.abilities.mixtures == 64)
      #expect(facts.files.map(\.name) == ["config.json"])
      #expect(facts.warnings == ["a word"])
    }
  }

  static let json = #"""
    {"protocol":1,"engine":{"name":"torch","version":"1","type":"float32","device":"cpu","parallelism":1},
    "model":{"id":"m","architecture":"llama","parameters":10,"layers":1,"hidden":2,"vocabulary":9,"context":8,
    "stored":"F32","digest":"sha256:\#(String(repeating: "ab", count: 32))","end_ids":[2]},
    "targets":[{"name":"model.layers.0.q.weight","rows":2,"columns":3}],
    "abilities":{"gradients":true,"logits":true,"generate":true,"images":false,"mixtures":4},
    "files":{"config.json":{"bytes":2,"digest":"sha256:\#(String(repeating: "cd", count: 32))"}},"warnings":[]}
    """#

  @Test func whatANewerEngineSaysBesidesIsPassedOver() throws {
    let text = Self.json.replacing(#""warnings""#, with: #""more":{"x":1},"warnings""#)
    #expect(try RemoteFacts(reading: Array(text.utf8)) == RemoteFacts(reading: Array(Self.json.utf8)))
  }

  @Test(arguments: [
    (#""layers":1"#, #""layers":0"#, "'model.layers' must be from 1 to 100000, and is 0"),
    (#""parallelism":1"#, #""parallelism":0"#, "engine.parallelism"),
    (#""name":"torch""#, #""name":"""#, "engine.name"),
    (#""vocabulary":9"#, #""vocabulary":4294967296"#, "model.vocabulary"),
    (#""end_ids":[2]"#, #""end_ids":[9]"#, "'model.end_ids' has 9"),
    (#""digest":"sha256:ab"#, #""digest":"sha256:a"#, "'model.digest' must be sha256:"),
    (#""digest":"sha256:ab"#, #""digest":"md5:ab"#, "'model.digest' must be sha256:"),
    (#""rows":2"#, #""rows":0"#, "0 x 3"), (#""rows":2"#, #""rows":99999999999"#, "99999999999 x 3"),
    (#""name":"model.layers.0"#, #""name":"model.layers.1"#, "a model of 1 has not"),
    (#""targets":[{"#, #""targets":[{"name":"model.layers.0.q.weight","rows":2,"columns":3},{"#, "the name of another"),
    (#""mixtures":4"#, #""mixtures":0"#, "abilities.mixtures"),
    (#""config.json""#, #""../config.json""#, "is not the name of a file"),
    (#""bytes":2"#, #""bytes":67108865"#, "at most 67108864"), (#""bytes":2"#, #""bytes":-1"#, "at most 67108864"),
    (#""gradients":true"#, #""gradients":1"#, "abilities.gradients"),
    (#""stored":"F32","#, "", "'model.stored' is missing"),
  ])
  func factsThatCannotBeAreRefusedByTheirPlace(old: String, new: String, problem: String) throws {
    let text = Self.json.replacing(old, with: new)
    #expect(text != Self.json)
    let error = #expect(throws: EngineFailure.Cause.self) { try RemoteFacts(reading: Array(text.utf8)) }
    let description = try #require(error).description
    #expect(description.contains(problem), "\(description)")
  }

  @Test func anotherVersionOfTheProtocolIsSaidBeforeAllElse() throws {
    let error = #expect(throws: EngineFailure.Cause.self) { try RemoteFacts(reading: Array(#"{"protocol":2}"#.utf8)) }
    #expect(error == .otherProtocol(found: 2))
    #expect(try #require(error).description.contains("version 2 of the engine protocol, and t2d version 1"))
  }

  @Test func replicasThatDifferAreNamedByTheMember() throws {
    let facts = try RemoteFacts(reading: Array(Self.json.utf8))
    for (old, new, member) in [
      ("sha256:ab", "sha256:ac", "model"), ("\"torch\"", "\"vllm\"", "engine"),
      ("\"version\":\"1\"", "\"version\":\"2\"", "version"),
      ("float32", "bfloat16", "type"),
    ] {
      let other = try RemoteFacts(reading: Array(Self.json.replacing(old, with: new).utf8))
      #expect(other.difference(from: facts)?.contains("its \(member) is") == true)
    }
    let device = try RemoteFacts(reading: Array(Self.json.replacing("cpu", with: "cuda").utf8))
    #expect(device.difference(from: facts) == nil)
  }
}

extension RemoteFactsTests {
  @Test func hostileFactsAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let problem = withstand([Array(RemoteFactsTests.json.utf8)]) { _ = try RemoteFacts(reading: $0) }
      #expect(problem == nil)
    }
  }
}

@Suite struct EngineMixtureTests {
  @Test func theNameOfAMixtureIsThatOfTheProtocol() {
    let model = FakeModel()
    #expect(model.mixture(1).digest == model.mixtureDigest(model.vector(1)))
    // From outside: printf 'a.layers.0.a\0\0\0\x80\x3f\0\0\0\x40b.layers.0.b\0\0\0\0\x3f' | sha256sum
    let other = FakeModel.two
    #expect(
      EngineMixture([1, 2, 0.5], of: other.layout).digest.hex
        == "8b3d2eb4c44f136043cd63b4e892278678f910fceeaac399d2597af26fefb064")
  }
}

extension FakeModel {
  static var two: FakeModel {
    var model = FakeModel()
    model.targets = [Target("a.layers.0.a", 2, 3), Target("b.layers.0.b", 1, 1)]
    return model
  }
}
