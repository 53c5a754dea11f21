import Records
package import Settings
import StrictJSON
package import WorkerProtocol

package enum ModelState: String, Sendable {
  /// The worker reads it and computes digest and factorization.
  case inspecting
  case ready
  /// It could not be read; `problem` says why.
  case failed
}

/// A base model as it is registered.
package struct ModelRecord: Sendable, Equatable {
  package var name: String
  /// Of its file or directory; of a model that an engine elsewhere computes, its replicas' addresses.
  package var path: String
  /// What computes it; nil: the worker.
  package var engine: EngineKind?
  /// Of the file or directory when it was inspected: a change of it makes the model be inspected again.
  package var identity: String
  /// Of which its matrices are factored: `mlp`, `attention`, projections by their names. None: all. Another choice is
  /// another factorization, so it stays what it was when the model was added.
  package var modules: [String]
  package var state: ModelState
  package var facts: ModelFacts?
  package var problem: String?
  package var added: Timestamp
  package var addedBy: String

  package init(
    name: String, path: String, engine: EngineKind? = nil, identity: String, modules: [String] = [], state: ModelState,
    facts: ModelFacts?, problem: String?, added: Timestamp, addedBy: String
  ) {
    self.name = name
    self.path = path
    self.engine = engine
    self.identity = identity
    self.modules = modules
    self.state = state
    self.facts = facts
    self.problem = problem
    self.added = added
    self.addedBy = addedBy
  }

  /// Usable: its facts, where it is ready.
  package var readyFacts: ModelFacts? { state == .ready ? facts : nil }
}

extension Catalogue {
  static let modelTables = [
    """
    CREATE TABLE models (
      name TEXT PRIMARY KEY CHECK (length(name) > 0),
      path TEXT NOT NULL,
      identity TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('inspecting', 'ready', 'failed')),
      facts TEXT,
      problem TEXT,
      added INTEGER NOT NULL,
      added_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """
  ]

  static let moduleTables = [
    // A list of texts, as JSON.
    "ALTER TABLE models ADD COLUMN modules TEXT NOT NULL DEFAULT '[]'"
  ]

  static let engineTables = [
    // None: the worker.
    "ALTER TABLE models ADD COLUMN engine TEXT"
  ]

  /// Those that are not removed.
  package func models() throws(RegistryError) -> [ModelRecord] {
    try rows(
      """
      SELECT name, path, identity, state, facts, problem, added, added_by, modules, engine FROM models
      WHERE removal IS NULL ORDER BY name
      """
    ) { (row) throws(RegistryError) in
      var facts: ModelFacts?
      if let text = row.optionalText(4) {
        facts = try stored(text, table: "models", as: StoredModelFacts.self).facts
      }
      return ModelRecord(
        name: row.text(0), path: row.text(1),
        engine: try row.optionalText(9).map { (name) throws(RegistryError) in try storedName(name, table: "models") },
        identity: row.text(2),
        modules: try stored(row.text(8), table: "models"),
        state: try storedName(row.text(3), table: "models"), facts: facts, problem: row.optionalText(5),
        added: Timestamp(milliseconds: row.integer(6)), addedBy: row.text(7))
    }
  }

  package func store(_ model: ModelRecord) throws(RegistryError) {
    _ = try showAgain(.model(model.name), now: model.added)
    changes.models = true
    try run(
      """
      INSERT INTO models (name, path, identity, state, facts, problem, added, added_by, modules, engine)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (name) DO UPDATE SET path = excluded.path, identity = excluded.identity, state = excluded.state,
        facts = excluded.facts, problem = excluded.problem, modules = excluded.modules,
        engine = excluded.engine
      """, model.name, model.path, model.identity, model.state.rawValue,
      model.facts.map { RecordWriter.json(StoredModelFacts($0)).jsonText }, model.problem,
      model.added.milliseconds, model.addedBy, JSONValue.array(model.modules.map { .string($0) }).jsonText,
      model.engine?.rawValue)
  }
}
