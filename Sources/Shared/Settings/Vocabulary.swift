package import Multipliers
import Records
package import Search

// The words of the domain that requests, files, jobs and results have in common. Each is an enum here and a string at the
// edge only.

extension Granularity: Choice {}
extension MixRule: Choice {}
extension Rescale: Choice {}
extension ParameterSpace: Choice {}
extension SearchMethodName: Choice {}
extension Objective: Choice {}

/// How people name the matrices of a model, see ``MultiplierLayout/matrices(ofModules:)``.
package let moduleNames = "mlp, attention, or projections such as gate_proj"

/// What a training makes.
package enum TrainingMethod: String, Choice {
  /// An expert: multipliers of singular values.
  case svf
  /// Low-rank additions, to compare an expert with; they are no expert.
  case lora
}

/// What a training minimises.
package enum TrainingObjective: String, Choice {
  /// The paper's: the expected reward, 1 for the right choice and −1 for another.
  case reinforce
  /// −ln of the right choice's share among the choices.
  case crossEntropy = "cross-entropy"
  /// −log-likelihood of the right answer, whatever the others.
  case nextToken = "next-token"
}

/// From which side the distance between the adapted model π and its base is measured.
package enum DivergenceDirection: String, Choice {
  /// KL(π ‖ base): eq. 1 of arXiv:2501.06252.
  case paper
  /// KL(base ‖ π): what the paper's reference code computes.
  case reference
}

/// How the learning rate falls after its peak.
package enum RateDecay: String, Choice {
  /// By half a cosine to almost 0.
  case cosine
  /// By a line to almost 0.
  case linear
  /// Not at all, as the paper's reference code has it.
  case constant
}

/// What a sampled answer's reward is compared with.
package enum RewardBaseline: String, Choice {
  /// With nothing: eq. 1 of arXiv:2501.06252.
  case none
  /// With the mean of its row's answers: less variance, and no gradient where all of them are right or all wrong.
  case group
}

/// How the components are chosen that a training may change, where they are not all.
package enum ComponentChoice: String, Choice {
  /// By the training's own gradient, before its first step.
  case training
  /// Those of the largest singular values.
  case largest
}

/// Which weights answer a request.
package enum DispatchStrategy: String, Choice {
  /// The base.
  case base = "none"
  case expert, mixture
  /// The first pass: the base decides which expert answers.
  case prompt
  /// The first pass under a dispatcher expert.
  case classifier
}

/// The strategies that have a first pass.
package enum FirstPass: String, Choice {
  case prompt, classifier

  package var strategy: DispatchStrategy {
    switch self {
    case .prompt: .prompt
    case .classifier: .classifier
    }
  }
}

/// How a decision of the first pass is read.
package enum DecisionReading: String, Choice {
  /// The log-likelihood of each label as the answer.
  case score
  /// The last `\boxed{}` of a generated answer.
  case generate
}

/// How the rows of a task are scored.
package enum Scoring: String, Choice {
  case choice, generate, code
}

/// Which rows of a task.
package enum RowSplit: String, Choice {
  /// The eval file where the task has one, the few-shot rows otherwise.
  case automatic = "auto"
  case eval, fewshot, train
}

/// What a check asks of an expert on a model.
package enum CheckKind: String, Choice {
  /// On the model it is bound to: does it do better than permutations of its own multipliers?
  case shuffle
  /// On another model of the same shapes: the same, and does it help that one?
  case transfer
}

/// What a check found.
package enum CheckVerdict: String, Choice {
  case ordered
  case noBetterThanShuffled = "no_better_than_shuffled"
  case inconclusive
}

/// What the policy made of a verdict.
package enum CheckAction: String, Choice {
  /// It is shown and logged, and nothing else.
  case warn
  /// A version that waits becomes the active one.
  case promote
  /// The version is taken out of every coming search.
  case quarantine
}

/// What can be taken away.
package enum RemovalKind: String, Choice { case expert, task, model }

/// What became of it then.
package enum RemovalState: String, Choice {
  /// It can be undone.
  case removed
  case undone
  /// Its files are given up.
  case purged
}

/// How far the mixture of a task is: of one model, or the worst of several.
package enum TaskState: String, Choice {
  case ready, stale, queued, running, failed
  /// Its own copy, or the vectors of its mixture, are not what was stored.
  case damaged
  /// Its search begins as soon as things are quiet.
  case pending
  case waitingForExperts = "waiting_for_experts"
  case waitingForModel = "waiting_for_model"
}

/// How far a job is.
package enum JobState: String, Choice {
  case queued, running, done, failed, cancelled, interrupted

  package var isFinal: Bool {
    switch self {
    case .done, .failed, .cancelled: true
    case .queued, .running, .interrupted: false
    }
  }
}
