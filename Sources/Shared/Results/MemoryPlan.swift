package import Records

/// What a model needs of the worker's memory, by part, and what the worker may have. All sizes in bytes.
package struct MemoryPlan: Codable, Sendable, Equatable {
  package var modelID: String
  package var architecture: String
  package var parameters: Int64
  package var layers: Int
  package var weights: Weights
  /// Singular vectors and values of the target matrices: the file of the factorization, which is mapped.
  package var factors: Factors
  /// Products of those and the weights; 0 where they are not made.
  package var products: Int64
  /// Of the texts that are decoded together.
  package var keysAndValues: Int64
  /// What the vectors of the last long answers change, once those were asked for; 0 where it is not made.
  package var vectorChanges: Int64
  package var search: Int64
  /// A step.
  package var training: Int64
  package var factorizing: Int64
  /// What one pass works in.
  package var pass: Int64
  /// Weights, factors and products: what `memory_budget` counts.
  package var held: Int64
  /// With what answers take and the largest of the jobs.
  package var needed: Int64
  /// What it is reckoned for.
  package var workload: Workload
  /// The same model in other types.
  package var types: [OtherType]
  package var limits: Limits
  /// Why it cannot be loaded; nil where it can.
  package var problem: String?
  /// What to set so that all of it fits; nil where it does.
  package var advice: Advice?

  package init(
    modelID: String, architecture: String, parameters: Int64, layers: Int, weights: Weights, factors: Factors,
    products: Int64, keysAndValues: Int64, vectorChanges: Int64, search: Int64, training: Int64, factorizing: Int64,
    pass: Int64, held: Int64, needed: Int64, workload: Workload, types: [OtherType], limits: Limits,
    problem: String? = nil, advice: Advice? = nil
  ) {
    (self.modelID, self.architecture, self.parameters, self.layers) = (modelID, architecture, parameters, layers)
    (self.weights, self.factors, self.products, self.keysAndValues) = (weights, factors, products, keysAndValues)
    (self.vectorChanges, self.search, self.training) = (vectorChanges, search, training)
    (self.factorizing, self.pass, self.held, self.needed) = (factorizing, pass, held, needed)
    (self.workload, self.types, self.limits) = (workload, types, limits)
    (self.problem, self.advice) = (problem, advice)
  }

  /// By what they are for, in the type in which they are stored.
  package struct Weights: Codable, Sendable, Equatable {
    /// The most common type of the target matrices.
    package var type: String
    package var targets: Int64
    /// Embedding and output head.
    package var embedding: Int64
    /// Norms and biases.
    package var rest: Int64

    package var total: Int64 { targets + embedding + rest }

    package init(type: String, targets: Int64, embedding: Int64, rest: Int64) {
      (self.type, self.targets, self.embedding, self.rest) = (type, targets, embedding, rest)
    }
  }

  package struct Factors: Codable, Sendable, Equatable {
    /// Of the vectors: `single`, or `half` where they would take much.
    package var precision: String
    /// The names of the matrices that are factored; nil: all.
    package var modules: [String]?
    package var bytes: Int64

    package init(precision: String, modules: [String]? = nil, bytes: Int64) {
      (self.precision, self.modules, self.bytes) = (precision, modules, bytes)
    }
  }

  package struct Workload: Codable, Sendable, Equatable {
    /// Decoded together.
    package var sequences: Int
    /// Tokens of each of them.
    package var positions: Int
    /// Of a search.
    package var experts: Int
    /// Of a step of training.
    package var tokens: Int
    package var threads: Int

    package init(sequences: Int = 4, positions: Int = 2048, experts: Int = 3, tokens: Int = 1024, threads: Int) {
      (self.sequences, self.positions, self.experts) = (sequences, positions, experts)
      (self.tokens, self.threads) = (tokens, threads)
    }
  }

  package struct OtherType: Codable, Sendable, Equatable {
    package var type: String
    package var weights: Int64
    package var held: Int64
    package var needed: Int64

    package init(type: String, weights: Int64, held: Int64, needed: Int64) {
      (self.type, self.weights, self.held, self.needed) = (type, weights, held, needed)
    }
  }

  /// Nil where there is none.
  package struct Limits: Codable, Sendable, Equatable {
    /// `memory_budget`
    @NullWhenAbsent package var budget: Int64?
    /// `worker.memory_limit`
    @NullWhenAbsent package var data: Int64?
    /// Of the control group: `MemoryMax=` of the unit.
    @NullWhenAbsent package var group: Int64?
    package var machine: Int64

    package init(budget: Int64?, data: Int64?, group: Int64?, machine: Int64) {
      self.machine = machine
      (self.budget, self.data, self.group) = (budget, data, group)
    }
  }

  /// Values that would do.
  package struct Advice: Codable, Sendable, Equatable {
    package var memoryBudget: Int64?
    package var workerMemoryLimit: Int64?
    /// As systemd writes it: "16G".
    package var memoryMax: String?

    package init(memoryBudget: Int64? = nil, workerMemoryLimit: Int64? = nil, memoryMax: String? = nil) {
      (self.memoryBudget, self.workerMemoryLimit, self.memoryMax) = (memoryBudget, workerMemoryLimit, memoryMax)
    }

    /// As they are written where they are set.
    package var settings: [String] {
      [
        memoryBudget.map { "memory_budget: \($0) in t2d.json5" },
        workerMemoryLimit.map { "worker: { memory_limit: \($0) } in t2d.json5" },
        memoryMax.map { "MemoryMax=\($0) in the unit (systemctl edit t2d.service)" },
      ].compactMap { $0 }
    }
  }
}
