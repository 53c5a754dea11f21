package import Records
package import Settings

/// What a training came to, or what it would take.
package enum TrainResult: Codable, Sendable, Equatable {
  /// An expert; which version it became is known once the daemon has taken in its file.
  case expert(ExpertTraining, TrainedVersion?)
  case adapters(AdapterTraining)
  case estimate(TrainEstimate)

  private enum CodingKeys: String, CodingKey { case dryRun, method, version }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    if container.contains(.dryRun) {
      self = .estimate(try TrainEstimate(from: decoder))
    } else if container.contains(.method) {
      self = .adapters(try AdapterTraining(from: decoder))
    } else {
      self = .expert(
        try ExpertTraining(from: decoder),
        container.contains(.version) ? try TrainedVersion(from: decoder) : nil)
    }
  }

  package func encode(to encoder: any Encoder) throws {
    switch self {
    case .expert(let training, let version):
      try training.encode(to: encoder)
      try version?.encode(to: encoder)
    case .adapters(let training): try training.encode(to: encoder)
    case .estimate(let estimate): try estimate.encode(to: encoder)
    }
  }
}

/// How some rows fare on the mean.
package struct Standing: Codable, Sendable, Equatable {
  package var rows: Int
  package var loss: Double
  /// Nil where nothing was answered: a step of `next-token` on rows without choices.
  @NullWhenAbsent package var reward: Double?
  /// The share that is right: `acc`, or `exact_match`.
  @NullWhenAbsent package var right: Double?
  package var divergence: Double

  private enum CodingKeys: String, CodingKey {
    case rows, loss, reward
    case right = "acc"
    case divergence = "kl"
  }

  package init(rows: Int, loss: Double, reward: Double?, right: Double?, divergence: Double = 0) {
    self.rows = rows
    self.loss = loss
    self.reward = reward
    self.right = right
    self.divergence = divergence
  }
}

/// One step as the learning curve shows it.
package struct CurvePoint: Codable, Sendable, Equatable {
  /// Counted from 1; 0 is the base, which is validated and nothing else.
  package var step: Int
  /// Nil for the base, as all that is of a step alone.
  package var learningRate: Double?
  /// Before it is cut.
  package var gradientNorm: Double?
  /// Of the step's rows, before it.
  package var batch: Standing?
  /// Of the rows held out, after it.
  package var validation: Standing?
  /// Which training of a journal of several it is of.
  package var training: Int?

  package init(
    step: Int, learningRate: Double? = nil, gradientNorm: Double? = nil, batch: Standing? = nil,
    validation: Standing? = nil
  ) {
    self.step = step
    self.learningRate = learningRate
    self.gradientNorm = gradientNorm
    self.batch = batch
    self.validation = validation
  }
}

/// What a job that was to train and ended badly has as its result: how far it came.
package struct UnfinishedTraining: Codable, Sendable, Equatable {
  package var curve: [CurvePoint]
  package init(curve: [CurvePoint]) { self.curve = curve }
}

/// How a training went.
package struct TrainingSummary: Codable, Sendable, Equatable {
  /// On the rows that were not trained on.
  package struct HeldOut: Codable, Sendable, Equatable {
    package var count: Int
    package var base: Standing
    package var expert: Standing

    package init(count: Int, base: Standing, expert: Standing) {
      self.count = count
      self.base = base
      self.expert = expert
    }

    private enum CodingKeys: String, CodingKey {
      case count = "n"
      case base, expert
    }
  }

  /// `expert` or `dispatcher`.
  package var kind: String
  package var objective: TrainingObjective
  package var steps: Int
  package var bestStep: Int
  package var stopReason: String
  package var warnings: [String]
  package var rows: Int
  package var trainingRows: Int
  package var heldOut: HeldOut
  package var curve: [CurvePoint]
  package var kernel: String
  package var seconds: Double

  package init(
    kind: String, objective: TrainingObjective, steps: Int, bestStep: Int, stopReason: String, warnings: [String],
    rows: Int, trainingRows: Int, heldOut: HeldOut, curve: [CurvePoint], kernel: String, seconds: Double
  ) {
    self.kind = kind
    self.objective = objective
    self.steps = steps
    self.bestStep = bestStep
    self.stopReason = stopReason
    self.warnings = warnings
    self.rows = rows
    self.trainingRows = trainingRows
    self.heldOut = heldOut
    self.curve = curve
    self.kernel = kernel
    self.seconds = seconds
  }
}

/// What was trained, and under which weight of the divergence.
package struct TrainingChoice: Codable, Sendable, Equatable {
  /// A training of one of several weights.
  package struct Tried: Codable, Sendable, Equatable {
    package var divergenceWeight: Double
    package var bestStep: Int?
    package var stopReason: String?
    package var heldOut: Standing?
    /// Why it made nothing.
    package var problem: String?

    package init(
      divergenceWeight: Double, bestStep: Int? = nil, stopReason: String? = nil, heldOut: Standing? = nil,
      problem: String? = nil
    ) {
      self.divergenceWeight = divergenceWeight
      self.bestStep = bestStep
      self.stopReason = stopReason
      self.heldOut = heldOut
      self.problem = problem
    }

    private enum CodingKeys: String, CodingKey {
      case divergenceWeight = "kl_weight"
      case bestStep, stopReason, heldOut, problem
    }
  }

  package var parameters: Int
  package var divergenceWeight: Double
  /// Where several weights were tried.
  package var sweep: [Tried]?

  package init(parameters: Int, divergenceWeight: Double, sweep: [Tried]? = nil) {
    self.parameters = parameters
    self.divergenceWeight = divergenceWeight
    self.sweep = sweep
  }

  private enum CodingKeys: String, CodingKey {
    case parameters
    case divergenceWeight = "kl_weight"
    case sweep
  }
}

/// The training of an expert or a dispatcher.
package struct ExpertTraining: Codable, Sendable, Equatable {
  @Flattened package var summary: TrainingSummary
  @Flattened package var choice: TrainingChoice

  package init(summary: TrainingSummary, choice: TrainingChoice) {
    self.summary = summary
    self.choice = choice
  }
}

/// What the expert became.
package struct TrainedVersion: Codable, Sendable, Equatable {
  package var name: String
  package var version: Int
  /// That was active before.
  @NullWhenAbsent package var previous: Int?
  package var state: String

  package init(name: String, version: Int, previous: Int?, state: String) {
    self.name = name
    self.version = version
    self.previous = previous
    self.state = state
  }
}

/// The training of LoRA, which makes no expert, and what it was compared with.
package struct AdapterTraining: Codable, Sendable, Equatable {
  package struct Scores: Codable, Sendable, Equatable {
    package var acc: Double
    package var accNorm: Double
    package var ci95: Interval

    package init(acc: Double, accNorm: Double, ci95: Interval) {
      self.acc = acc
      self.accNorm = accNorm
      self.ci95 = ci95
    }
  }

  /// On the eval rows.
  package struct Evaluated: Codable, Sendable, Equatable {
    package var count: Int
    package var task: String
    package var metric: String
    package var template: String
    package var base: Scores
    package var lora: Scores

    package init(count: Int, task: String, metric: String, template: String, base: Scores, lora: Scores) {
      self.count = count
      self.task = task
      self.metric = metric
      self.template = template
      self.base = base
      self.lora = lora
    }

    private enum CodingKeys: String, CodingKey {
      case count = "n"
      case task, metric, template, base, lora
    }
  }

  /// What lies between two of them, on the eval rows of both tasks.
  package struct Mixed: Codable, Sendable, Equatable {
    package struct TaskScores: Codable, Sendable, Equatable {
      @Flattened package var scores: Scores
      package var task: String
      package var count: Int

      package init(scores: Scores, task: String, count: Int) {
        self.scores = scores
        self.task = task
        self.count = count
      }

      private enum CodingKeys: String, CodingKey {
        case scores, task
        case count = "n"
      }
    }

    /// `base`, `first`, `second`, or how the two were averaged: `parameters` or `products`.
    package var weights: String
    /// Of the second.
    package var share: Float
    package var scores: [TaskScores]

    package init(weights: String, share: Float, scores: [TaskScores]) {
      self.weights = weights
      self.share = share
      self.scores = scores
    }
  }

  @Flattened package var summary: TrainingSummary
  package var name: String
  package var method: TrainingMethod
  package var rank: Int
  /// Where there are eval rows.
  package var eval: Evaluated?
  /// Where two were mixed.
  package var mixing: [Mixed]?
  @Flattened package var choice: TrainingChoice

  package init(
    summary: TrainingSummary, name: String, method: TrainingMethod, rank: Int, eval: Evaluated?, mixing: [Mixed]?,
    choice: TrainingChoice
  ) {
    self.summary = summary
    self.name = name
    self.method = method
    self.rank = rank
    self.eval = eval
    self.mixing = mixing
    self.choice = choice
  }
}

/// What a training would take; of several weights all of them.
package struct TrainEstimate: Codable, Sendable, Equatable {
  package var name: String
  package var dryRun: Bool
  package var parameters: Int
  package var rows: Int
  package var trainingRows: Int
  package var stepTokens: Int
  package var stepSeconds: Double
  package var validationSeconds: Double
  package var seconds: Double
  package var memoryBytes: Int
  package var kernel: String

  package init(
    name: String, parameters: Int, rows: Int, trainingRows: Int, stepTokens: Int, stepSeconds: Double,
    validationSeconds: Double, seconds: Double, memoryBytes: Int, kernel: String
  ) {
    self.name = name
    dryRun = true
    self.parameters = parameters
    self.rows = rows
    self.trainingRows = trainingRows
    self.stepTokens = stepTokens
    self.stepSeconds = stepSeconds
    self.validationSeconds = validationSeconds
    self.seconds = seconds
    self.memoryBytes = memoryBytes
    self.kernel = kernel
  }
}
