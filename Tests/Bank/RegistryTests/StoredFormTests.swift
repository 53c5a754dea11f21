import Multipliers
import Records
import SQLite
import StrictJSON
import Results
import Testing
import WorkerProtocol

@testable import Registry

/// A store is opened by every later version: what it lacks has a default, and what is newer is refused with what to do.
@Suite struct StoredFormTests {
  /// As t2d 0.1 wrote it.
  static let facts: JSONObject = [
    "digest": "sha256:aa", "model_id": "SmolLM2", "arch": "LlamaForCausalLM", "parameters": 134_515_008, "layers": 30,
    "hidden": 576, "vocabulary": 49152, "context_length": 8192, "quantization": "Q4_1", "tokenizer": false,
    "chat_template": "chatml", "chat_template_problem": "none",
    "targets": [["name": "model.layers.0.mlp.up_proj.weight", "rows": 6, "columns": 4, "layer": 0]],
    "factorization_seconds": 5.5,
  ]

  private func read(_ facts: JSONObject) throws -> ModelFacts? {
    var read: ModelFacts?
    try withCatalogue { catalogue, _ in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        try catalogue.database.execute("UPDATE models SET facts = ?", JSONValue.object(facts).jsonText)
      }
      read = try catalogue.models()[0].facts
    }
    return read
  }

  @Test func theFactsOfTheFirstVersionAreRead() throws {
    let facts = try #require(try read(Self.facts))
    #expect(facts.modelID == "SmolLM2" && facts.parameters == 134_515_008 && facts.layers == 30)
    #expect(facts.hidden == 576 && facts.vocabulary == 49152 && facts.contextLength == 8192)
    #expect(facts.quantization == "Q4_1" && !facts.hasTokenizer && facts.chatTemplate == "chatml")
    #expect(facts.targets == [TargetMatrix(name: "model.layers.0.mlp.up_proj.weight", rows: 6, columns: 4, layer: 0)])
    var written = RecordWriter.object(StoredModelFacts(facts))
    #expect(written["version"] == 1 && written["warnings"] == [])
    written["version"] = nil
    written["warnings"] = nil
    #expect(written == Self.facts)
  }

  @Test(arguments: StoredModelFacts.members.filter { !$0.isRequired }.map(\.name))
  func factsWrittenBeforeAMemberWasAddedAreRead(name: String) throws {
    var older = Self.facts
    older[name] = nil
    #expect(try read(older)?.digest == "sha256:aa")
  }

  @Test(arguments: ["digest", "arch", "targets"])
  func factsWithoutWhatExpertsAreValidatedAgainstAreDamaged(name: String) throws {
    var damaged = Self.facts
    damaged[name] = nil
    let error = #expect(throws: RegistryError.self) { try self.read(damaged) }
    #expect(error?.isDamage == true && error?.description.contains("'\(name)' is missing") == true)
  }

  @Test func whatANewerVersionAddedIsIgnored() throws {
    var newer = Self.facts
    newer["rope"] = "yarn"
    #expect(try read(newer)?.digest == "sha256:aa")
  }

  private func expectNewer(_ error: RegistryError?, table: String) {
    #expect(error?.isOfNewerProgram == true && error?.isDamage == false)
    #expect(
      error?.description
        == "the catalogue's table \(table) has a row of form 2, and this t2d knows forms up to 1; start the newer t2d that "
        + "wrote it, or restore the backup that it made")
  }

  @Test func aFormThatIsNotKnownIsRefusedWithWhatToDo() throws {
    // Whatever else it lacks.
    let error = #expect(throws: RegistryError.self) { try self.read(["version": 2]) }
    expectNewer(error, table: "models")
  }

  @Test func aJobOfAFormThatIsNotKnownIsRefusedWithWhatToDo() throws {
    try withCatalogue { catalogue, _ in
      var id: Int64 = 0
      try catalogue.change { () throws in
        id = try catalogue.add(Sample.job())
        #expect(try catalogue.job(id).spec == Sample.job().spec)
        try catalogue.database.execute("UPDATE jobs SET spec = ?", #"{"version":2}"#)
      }
      let error = #expect(throws: RegistryError.self) { try catalogue.job(id) }
      expectNewer(error, table: "jobs")
      // A list says no more than that there is one.
      #expect(try catalogue.jobs(state: nil, limit: 9).map(\.id) == [id])
    }
  }

  static let model: JSONValue = ["path": "/m", "digest": "sha256:aa", "cache_directory": "/c"]
  static let task: JSONValue = ["name": "arc", "path": "/t", "digest": "sha256:bb"]
  static let expert: JSONValue = ["name": "science", "version": 1, "digest": "sha256:cc", "path": "/e"]

  /// Specs as t2d 0.1 queued them, with their kinds, and which of their members there must be.
  static let specs: [(kind: String, required: Set<String>, spec: JSONObject)] = [
    (
      "adapt", ["model", "task", "experts", "vectors_path"],
      [
        "model": model, "task": task, "experts": [expert],
        "search": [
          "method": "cem", "granularities": ["vector", "layer"], "mix": "sum", "normalised": true,
          "objective": "loglik", "population": 8, "elites": 3, "iterations": 7, "lower": -1.0, "upper": 2.0, "seed": 5,
          "shots": 4, "prompt_budget": 4000, "seconds_budget": 9.5,
        ], "vectors_path": "/staging/v", "evaluates": false,
      ]
    ),
    (
      "train", ["model", "name", "lesson", "expert_path", "state_path"],
      [
        "model": model, "name": "math", "label": "sums", "lesson": ["task": task],
        "settings": [
          "method": "svf", "objective": "reinforce", "steps": 4, "batch": 2, "learning_rate": 0.01, "warm_up": 0,
          "clip": 0.5, "weight_decay": 0.0, "kl": [0.0, 0.25], "kl_direction": "reference", "samples": 8,
          "temperature": 0.75, "baseline": "group", "seed": 3, "validation_rows": 6, "validate_every": 2, "patience": 5,
          "modules": ["mlp"], "layers": [0, 9], "top": 64, "param_space": "logit", "rows": 100,
        ], "expert_path": "/staging/e", "state_path": "/s", "estimate": true, "mix_with": task,
      ]
    ),
    (
      "check", ["check", "model", "task", "expert"],
      ["check": "transfer", "model": model, "task": task, "expert": expert, "shuffles": 3, "seed": 2, "rows": 9]
    ),
    (
      "evaluate", ["model", "task"],
      ["model": model, "task": task, "weights": ["base": true], "split": "eval", "limit": 3]
    ),
    (
      "compare", ["model", "task", "columns"],
      [
        "model": model, "task": task,
        "columns": [["name": "base", "strategy": "none", "weights": ["base": true]]],
        "skipped": [["column": "classifier", "reason": "no dispatcher"]], "split": "eval", "limit": 3,
      ]
    ),
    (
      "sweep", ["model", "task", "experts", "shots", "budgets", "seeds"],
      [
        "model": model, "task": task, "experts": [expert], "search": ["method": "cem"], "shots": [3],
        "budgets": [["iterations": 5]], "seeds": [1],
      ]
    ),
  ]

  @Test(arguments: specs.map(\.kind))
  func aJobQueuedBeforeAMemberWasAddedIsRead(kind: String) throws {
    let (_, required, spec) = try #require(Self.specs.first { $0.kind == kind })
    func read(_ spec: JSONObject) throws -> any JobSpec {
      try JobKind(kind).decode(StoredJobSpec(stored: .object(spec)).spec)
    }
    #expect(try read(spec).kind.name == kind)
    for name in spec.keys {
      var older = spec
      older[name] = nil
      if required.contains(name) {
        #expect(throws: WorkerProtocolError.self, "\(kind) without \(name)") { try read(older) }
      } else {
        #expect(try read(older).kind.name == kind, "\(kind) without \(name)")
      }
    }
    // Settings are read one by one too.
    for part in ["search", "settings"] {
      guard case .object(let settings)? = spec[part] else { continue }
      for name in settings.keys {
        var (older, fewer) = (spec, settings)
        fewer[name] = nil
        older[part] = .object(fewer)
        #expect(try read(older).kind.name == kind, "\(kind) without \(part).\(name)")
      }
    }
  }

  @Test func theSpellingsOfTheFirstVersionAreRead() throws {
    let adapt = try #require(Self.specs.first { $0.kind == "adapt" })
    let settings = try AdaptSpec(decoding: .object(adapt.spec)).search
    #expect(settings.isNormalized && settings.budgetPrompts == 4000 && settings.budgetSeconds == 9.5)
    let train = try #require(Self.specs.first { $0.kind == "train" })
    let training = try TrainSpec(decoding: .object(train.spec))
    #expect(training.settings.layers?.range == 0...9 && training.isEstimate && training.partner?.name == "arc")
  }
}
