import Multipliers
import Results
import StrictJSON
import SystemSupport
import WorkerProtocol

@testable import Registry

/// Invented rows for the tests.
enum Sample {
  static let now = Timestamp(milliseconds: 1_700_000_000_000)

  static func digest(_ letter: Character) -> String { "sha256:" + String(repeating: letter, count: 64) }

  static func model(_ name: String = "tiny", digest letter: Character = "a") -> ModelRecord {
    ModelRecord(
      name: name, path: "/models/\(name).gguf", identity: "1", state: .ready,
      facts: ModelFacts(
        digest: digest(letter), modelID: name, architecture: "LlamaForCausalLM", parameters: 10, layers: 1, hidden: 4,
        vocabulary: 8, contextLength: 16, quantization: "F32", hasTokenizer: true, chatTemplate: nil,
        chatTemplateProblem: "none",
        targets: [TargetMatrix(name: "model.layers.0.mlp.up_proj.weight", rows: 6, columns: 4, layer: 0)],
        factorizationSeconds: 0.5),
      problem: nil, added: now, addedBy: "uid 0")
  }

  static func version(_ name: String = "science", digest letter: Character = "1") -> ExpertVersion {
    ExpertVersion(
      name: name, version: 0, state: .candidate, model: "tiny", modelDigest: digest("a"), digest: digest(letter),
      blob: BlobReference(hex: String(repeating: letter, count: 64), bytes: 10), kind: "expert", label: "science",
      task: nil, rescale: "none", isForeign: false, warnings: ["a constant vector"],
      source: name + ".safetensors", added: now, addedBy: "uid 0")
  }

  static func task(_ name: String = "arc", digest letter: Character = "7") -> TaskRevision {
    TaskRevision(
      task: name, revision: 0, digest: digest(letter), path: "/store/\(name)", rows: 10, evalRows: 0, trainRows: 0,
      scoring: .choice, metric: "acc", template: "Question: {question}\nAnswer:", settings: ["search": ["seed": 3]],
      warnings: [], source: name + ".jsonl", added: now)
  }

  static func job(_ target: String = "adapt", inputs: String? = "i") -> JobRecord {
    JobRecord(
      id: 0, kind: AdaptSpec.kind, key: target + (inputs ?? ""), target: target, inputs: inputs, priority: 0,
      task: "arc", model: "tiny", spec: ["experts": ["science"]], options: [:], who: "t2d", reason: "new task",
      created: now)
  }

  static let found = Mixture(
    alpha: [[0.75]], granularity: .vector, mix: .delta, rescale: .none, units: ["model"],
    experts: [.init(name: "science", version: 1, digest: digest("1"))],
    scores: .init(metric: "acc", base: score, experts: .init([("science", score)]), uniform: score, mixture: score),
    served: "mixture", servedBecause: "it is better", taskDigest: digest("7"), baseDigest: digest("a"),
    template: "{question}",
    search: SearchSummary(
      method: "cem", objective: "accuracy", normalized: false, seed: 1, population: 8, elites: 2, shots: 4,
      generations: 3, stopReason: "stalled", costs: CostSummary(prompts: 9), configurations: [], seconds: [],
      kernel: "Haswell"))
  private static let score = ScoreSummary(fit: 0.5, fitLogLikelihood: -1)

  static func mixture(job: Int64, inputs: String = "i") -> MixtureRevision {
    MixtureRevision(
      pair: Pair(task: "arc", model: "tiny"), revision: 0, job: job, inputs: inputs,
      record: Sample.found, blob: BlobReference(hex: String(repeating: "c", count: 64), bytes: 20),
      options: [:], reason: "new task", added: now)
  }
}

/// A catalogue in a directory of its own, and a way to close and open it again as a new process would.
func withCatalogue(_ body: (Catalogue, _ reopen: () throws -> Catalogue) throws -> Void) throws {
  try withTemporaryDirectory { directory in
    func open() throws(RegistryError) -> Catalogue { try Catalogue(in: directory) }
    let first = try open()
    var opened = [first]
    try body(first) {
      for catalogue in opened { catalogue.close() }
      let again = try open()
      opened.append(again)
      return again
    }
    for catalogue in opened { catalogue.close() }
  }
}

extension Catalogue {
  /// Of a file that says nothing else.
  func addVersion(_ version: ExpertVersion) throws(RegistryError) -> Int { try addVersion(version, details: "{}") }

  /// The catalogue of a store in this directory.
  convenience init(in directory: String) throws(RegistryError) {
    let store = BlobStore(root: directory)
    try store.prepare()
    try self.init(path: directory + "/catalogue.sqlite", store: store, now: Sample.now)
  }

  /// A transaction whose body may throw anything, as expectations do.
  @discardableResult
  func change<Value>(_ body: () throws -> Value) throws -> Value {
    let result: Result<Value, any Error> = try transaction { () throws(RegistryError) in
      do {
        return .success(try body())
      } catch let error as RegistryError {
        throw error
      } catch {
        throw .conflict("\(error)")
      }
    }
    return try result.get()
  }
}
