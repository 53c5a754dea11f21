package import Records
package import Settings

/// A model as the worker finds it.
package struct ModelReference: WorkerMessage, Hashable {
  /// A `.gguf` file or a Hugging Face directory; of a model that an engine elsewhere computes, its replicas' addresses.
  package var path: String
  /// What computes it; nil: the worker itself.
  package var engine: EngineKind?
  /// What was found when the model was registered; a model that answers with another one is `model_changed`. Empty at
  /// the first inspection.
  @EmptyWhenAbsent package var digest: String
  /// Where its factorization is kept between runs.
  package var cacheDirectory: String
  /// Of which its matrices are factored: `mlp`, `attention`, projections by their names. Nil: all.
  package var modules: [String]?

  package init(
    path: String, engine: EngineKind? = nil, digest: String, cacheDirectory: String, modules: [String] = []
  ) {
    self.path = path
    self.engine = engine
    self.digest = digest
    self.cacheDirectory = cacheDirectory
    self.modules = modules.isEmpty ? nil : modules
  }
}

/// One version of an expert: its name for people, its digest for identity, and the read-only blob in the store.
package struct ExpertReference: WorkerMessage, Hashable {
  package var name: String
  package var version: Int
  package var digest: String
  package var path: String
  /// Of the blob's bytes, which are used only where they hash to it. A job that an older t2d has stored has none.
  package var blob: String?

  package init(name: String, version: Int, digest: String, path: String, blob: String?) {
    self.name = name
    self.version = version
    self.digest = digest
    self.path = path
    self.blob = blob
  }
}

/// A task as the daemon keeps it: the read-only copy of the file or directory that the user dropped.
package struct TaskReference: WorkerMessage {
  package var name: String
  package var path: String
  @EmptyWhenAbsent package var digest: String
  /// What its files were when they were stored, which are used only where they still are. A job that an older t2d has
  /// stored has none.
  package var files: [File]?
  /// The number of the rules by which its rows are read; nil: the first.
  package var reading: Int?

  /// A file by its name below the directory that holds the task, such as `arc/eval.jsonl`, with the digest of its bytes.
  package struct File: WorkerMessage, Hashable {
    package var name: String
    package var digest: String

    package init(name: String, digest: String) {
      self.name = name
      self.digest = digest
    }
  }

  package init(name: String, path: String, digest: String, files: [File]? = nil, reading: Int? = nil) {
    self.name = name
    self.path = path
    self.digest = digest
    self.files = files
    self.reading = reading
  }
}
