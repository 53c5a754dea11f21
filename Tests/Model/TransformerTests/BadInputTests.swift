import Engines
import Foundation
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import Transformer

/// What is wrong is an error that says where, never a trap.
@Suite struct BadInputTests {
  /// It would be token 3 without its upper half.
  @Test func anEndThatNoTokenCanBeEndsNothing() throws {
    let file = try openModel(at: TinyModel.path)
    var configuration = file.configuration
    configuration.eosIDs = [1 << 32 + 3, 5]
    #expect(try RandomModel.load(configuration).facts.endIDs == [5])
  }

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing"
    } catch { return "\(error)" }
  }

  /// A copy of the tiny model with the file's bytes changed.
  private func load(changing change: (inout [UInt8]) -> Void) throws {
    let directory = NSTemporaryDirectory() + "t2d-tiny-\(UUID())"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try FileManager.default.copyItem(atPath: TinyModel.path + "/config.json", toPath: directory + "/config.json")
    var bytes = Array(try require(FileManager.default.contents(atPath: TinyModel.path + "/model.safetensors")))
    change(&bytes)
    try Data(bytes).write(to: URL(fileURLWithPath: directory + "/model.safetensors"))
    _ = try LanguageModel.load(path: directory, factorizationDirectory: nil, pool: TinyModel.pool)
  }

  @Test func aModelThatIsNotThereIsAnError() {
    let found = message {
      _ = try LanguageModel.load(path: "/nowhere/model.gguf", factorizationDirectory: nil, pool: TinyModel.pool)
    }
    #expect(found.contains("/nowhere/model.gguf"))
  }

  @Test func aNaNInTheWeightsIsFoundWhenTheModelIsLoaded() {
    #expect(message { try load { _ in } } == "nothing")
    // The last four bytes of the file are the last value of its last tensor.
    let found = message { try load { $0.replaceSubrange(($0.count - 4)..., with: [0, 0, 0xC0, 0x7F]) } }
    #expect(found.contains("holds a NaN or an infinity at value"))
  }

  @Test func aTruncatedModelIsAnError() {
    #expect(message { try load { $0.removeLast(100) } }.contains("model.safetensors"))
  }

  @Test func badItemsAreNamed() throws {
    let model = try TinyModel.model.get()
    func message(_ items: [ScoringItem]) -> String {
      self.message { _ = try model.score(items, priority: .job) }
    }
    let good = ScoringItem(prompt: [1, 2], continuations: [[3]])
    #expect(message([good, ScoringItem(prompt: [], continuations: [[1]])]).contains("prompt 1 has no tokens"))
    #expect(
      message([ScoringItem(prompt: [1], continuations: [[1], []])]).contains(
        "continuation 1 of prompt 0 has no tokens"))
    #expect(message([ScoringItem(prompt: [1], continuations: [[-1]])]).contains("token id -1"))
    #expect(message([ScoringItem(prompt: [97], continuations: [[1]])]).contains("0 to 96"))
    let long = ScoringItem(
      prompt: [Int32](repeating: 5, count: 121), continuations: [[1], [2, 3, 4, 5, 6, 7, 8, 9, 10]])
    #expect(message([long]).contains("needs 129 tokens, the model's context holds 128"))
    #expect(self.message { _ = try model.score([good], under: [], priority: .job) }.contains("0 weight views given, 1"))
    #expect(try model.score([], priority: .job).isEmpty)
  }

  @Test func multipliersThatLeaveTheRangeOfFloatAreAnErrorOrTheLastOfAPopulation() throws {
    let model = try TinyModel.model.get()
    let huge = MultiplierVector([Float](repeating: 1e30, count: model.layout.count))
    let item = ScoringItem(prompt: [1, 2, 3], continuations: [[4, 5]])
    #expect(
      message { _ = try model.score([item], under: .factored(huge), priority: .job) }.contains(
        "the logits of prompt 0 are not finite"))
    #expect(message { _ = try model.logits(prompt: [1, 2], under: .factored(huge)) }.contains("not finite"))
    let basis = try ExpertBasis(model: model, experts: [huge])
    let mixer = Mixer(
      layout: model.layout, sigma: model.factorization.sigma, experts: [huge], rescale: .none)
    let found = try model.scoreCandidates(
      basis: basis, [Candidate(mixer.blend(.single(0, of: 1)), [item])], priority: .job)
    #expect(found[0][0][0].logprobs == [-.infinity, -.infinity])
  }

  @Test func blendsOfAnotherLayoutAreErrors() throws {
    let model = try TinyModel.model.get()
    let ones = MultiplierVector.ones(model.layout.count)
    let basis = try ExpertBasis(model: model, experts: [ones])
    let short = BlendCoefficients(base: [1], experts: [[0]])
    #expect(
      message { _ = try model.scoreCandidates(basis: basis, [Candidate(short, [])], priority: .job) }.contains(
        "1 blends of matrices given, 21 expected"))
    #expect(
      message { _ = try ExpertBasis(model: model, experts: [MultiplierVector([1])]) }.contains("has 1 values"))
    #expect(
      message { _ = try ExpertBasis(model: model, experts: [ones], shouldStop: { true }) } == "stopped on request")
  }
}
