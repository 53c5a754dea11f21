package import Multipliers
package import Records

/// How an expert is trained. The defaults are those that taught `science` its task in the prototype.
///
/// A setting is declared here and nowhere else: `train.start`, `t2ctl train`, the stored job, the worker and the trainer
/// have it from here.
package struct TrainingSettings: Record {
  @Setting("svf makes an expert; lora is trained for comparison on rows with choices, and makes none")
  package var method = TrainingMethod.svf
  @Setting(
    "rank of lora's additions to the modules; default 16, on q_proj and v_proj", 1...1_024, option: .init(nil, "R"))
  package var rank: Int?
  @Setting("what is minimised") package var objective = TrainingObjective.reinforce
  @Setting("steps of the optimizer", 1...1_000_000) package var steps = 40
  @Setting("rows per step", 1...4_096) package var batch = 10
  @Setting("peak learning rate", 1e-9...1_000, option: .init("--lr", "R")) package var learningRate = 0.01
  @Setting("steps in which the learning rate rises to its peak", 0...1_000_000) package var warmUp = 0
  @Setting("how the learning rate falls after its peak: cosine to 0, linear to 0, or constant, not at all")
  package var decay = RateDecay.cosine
  /// Adam divides by the gradient's size again, so it bounds single steps against their neighbours.
  @Setting("maximum gradient norm", 1e-12...1e12, option: .init(nil, "C")) package var clip = 0.001
  @Setting("weight decay towards the base", 0...1_000, option: .init(nil, "D")) package var weightDecay = 0.0
  /// λ of eq. 1 of arXiv:2501.06252.
  @Setting(
    "weight of the KL divergence from the base; with several, one training each, and the best is kept", 0...1_000,
    name: "kl", option: .init(nil, "W,..."))
  package var divergenceWeights = [0.0]
  @Setting("paper is KL(expert, base); reference is KL(base, expert), as in the paper's code", name: "kl_direction")
  package var divergenceDirection = DivergenceDirection.paper
  @Setting("generated answers per row and step, where rows have no choices", 1...1_024) package var samples = 4
  @Setting("sampling temperature of those answers", 0.01...100, option: .init(nil, "T")) package var temperature = 1.0
  @Setting("what an answer's reward is compared with: none, or group, the mean reward of its row's answers")
  package var baseline = RewardBaseline.none
  @Setting(
    "seed of the rows held out, of the order of rows and of sampled answers", 0...UInt64(Int64.max),
    option: .init(nil, "S"))
  package var seed: UInt64 = 1
  /// At most a quarter of all.
  @Setting("training rows held out to choose the best step, at most a quarter of them", 1...1_000_000)
  package var validationRows = 60
  @Setting("steps between two validations", 1...1_000_000, name: "validate_every") package var validationInterval = 10
  @Setting("end after this many validations without a new best", 1...1_000_000) package var patience = 5
  @Setting("\(moduleNames); default all that are factored", option: .init(nil, "M,..."))
  package var modules: [String] = []
  @Setting("only these layers, as 4 or 0-9; default all", option: .init(nil, "A-B")) package var layers: LayerRange?
  @Setting(
    "only this many of the largest singular values of each matrix; default all", 1...1_000_000, name: "top",
    option: .init(nil, "R"))
  package var top: Int?
  @Setting(
    "only this many singular values of each matrix, so that a LoRA of this rank holds the expert; default all",
    1...1_000_000, option: .init(nil, "K"))
  package var components: Int?
  @Setting(
    "how they are chosen: training, by the gradient over the first quarter of the steps' rows at the base; largest, by their "
      + "size; default training", option: .init(nil, "HOW"))
  package var componentsBy: ComponentChoice?
  @Setting(
    "what the trained numbers are: multiplier, or logit, a sigmoid from 0 to 2", name: "param_space",
    option: .init(nil, "S"))
  package var parameterSpace = ParameterSpace.multiplier
  @Setting(
    "only the first N training rows, for a dispatcher of each label; default all, for a dispatcher 300",
    1...10_000_000)
  package var rows: Int?

  package init() {}

  /// Of `lora`, where none is given.
  package static let standardRank = 16

  /// Of how many components of each matrix, those of the largest singular values, a training begins.
  package var largestComponents: Int? { top ?? (componentsBy == .largest ? components : nil) }

  /// How many of them it keeps, by its gradient.
  package var chosenComponents: Int? { componentsBy == .largest ? nil : components }

  package mutating func validate() throws(RecordError) {
    if components == nil, componentsBy != nil {
      throw RecordError(.invalid, at: "components_by", "says how components are chosen, and there is no 'components'")
    }
    if let components, let top, components >= top || componentsBy == .largest {
      throw RecordError(
        .invalid, at: "components",
        componentsBy == .largest
          ? "by the largest is what 'top' is: give one of them"
          : "is \(components), and is chosen of the \(top) that 'top' leaves: give fewer")
    }
    if Set(divergenceWeights).count < divergenceWeights.count {
      throw RecordError(.invalid, at: "kl", "has a weight twice")
    }
  }
}
