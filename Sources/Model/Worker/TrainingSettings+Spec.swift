import Multipliers
import Training
import WorkerProtocol

extension TrainingSettings {
  init(_ settings: TrainSettings, divergenceWeight: Double) throws(WorkerFault) {
    self.init()
    objective = try named(settings.objective, "objective")
    divergenceDirection = try named(settings.divergenceDirection, "KL direction")
    baseline = try named(settings.baseline, "baseline")
    samples = settings.samples
    temperature = settings.temperature
    steps = settings.steps
    batch = settings.batch
    learningRate = settings.learningRate
    warmUp = settings.warmUp
    clip = settings.clip
    weightDecay = settings.weightDecay
    self.divergenceWeight = divergenceWeight
    seed = settings.seed
    validationRows = settings.validationRows
    validationInterval = settings.validationInterval
    patience = settings.patience
    if let problem { throw WorkerFault(.badRequest, "cannot train so: \(problem)") }
  }
}

enum TrainingMethod: String, CaseIterable {
  case svf, lora
}

extension ParameterSpace {
  init(_ settings: TrainSettings) throws(WorkerFault) {
    self = try named(settings.parameterSpace, "parameter space")
  }
}

extension MultiplierLayout {
  /// The matrices that are to be trained: those of the modules in the range of layers.
  func matrices(of settings: TrainSettings) throws(WorkerFault) -> [Int] {
    let chosen = try matrices(of: settings.modules)
    guard let layers = settings.layers else { return chosen }
    let known = matrices.compactMap(\.layer)
    guard let last = known.max(), layers.lowerBound >= 0, layers.upperBound <= last else {
      throw WorkerFault(
        .badRequest,
        "the layers \(layers.lowerBound) to \(layers.upperBound) are not all there: the model has 0 to \(known.max() ?? 0)"
      )
    }
    return chosen.filter { matrices[$0].layer.map(layers.contains) ?? false }
  }

  /// The matrices that a list of modules means: `mlp`, `attention`, or projections by their names in the checkpoint.
  private func matrices(of modules: [String]) throws(WorkerFault) -> [Int] {
    guard !modules.isEmpty else { return Array(matrices.indices) }
    var chosen: Set<Int> = []
    for module in modules {
      let part = module == "attention" ? "self_attn" : module
      let found = matrices.indices.filter { index in
        matrices[index].name.split(separator: ".").contains { $0.utf8.elementsEqual(part.utf8) }
          && (module == "mlp" || module == "attention" || module.hasSuffix("_proj"))
      }
      guard !found.isEmpty else {
        let projections = Set(matrices.compactMap { $0.name.split(separator: ".").first { $0.hasSuffix("_proj") } })
        throw WorkerFault(
          .badRequest,
          "the model has no target matrices '\(module)'; modules are mlp, attention, "
            + projections.sorted().joined(separator: ", "))
      }
      chosen.formUnion(found)
    }
    return chosen.sorted()
  }
}
