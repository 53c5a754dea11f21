import Multipliers
import Settings
import Training
import WorkerProtocol

extension TrainingSettings {
  /// These settings with one weight of the divergence of the several.
  func training(withDivergence weight: Double) throws(WorkerFault) -> TrainingSettings {
    var settings = self
    settings.divergenceWeight = weight
    if let problem = settings.trainingProblem { throw WorkerFault(.badRequest, "cannot train so: \(problem)") }
    return settings
  }
}

extension MultiplierLayout {
  /// The matrices that are to be trained: those of the modules in the range of layers.
  func matrices(of settings: TrainingSettings) throws(WorkerFault) -> [Int] {
    let chosen = try matrices(of: settings.modules)
    guard let layers = settings.layers?.range else { return chosen }
    let known = matrices.compactMap(\.layer)
    guard let last = known.max(), layers.lowerBound >= 0, layers.upperBound <= last else {
      throw WorkerFault(
        .badRequest,
        "the layers \(layers.lowerBound) to \(layers.upperBound) are not all there: the model has 0 to \(known.max() ?? 0)"
      )
    }
    return chosen.filter { matrices[$0].layer.map(layers.contains) ?? false }
  }

  /// The matrices that a list of modules means: `mlp`, `attention`, or projections by their names in the checkpoint. Of a
  /// checkpoint that has several projections in one matrix, each of their names means that one.
  private func matrices(of modules: [String]) throws(WorkerFault) -> [Int] {
    guard !modules.isEmpty else { return Array(matrices.indices) }
    var chosen: Set<Int> = []
    for module in modules {
      let part = module == "attention" ? "self_attn" : module
      var found: [Int] = []
      if module == "mlp" || module == "attention" || module.hasSuffix("_proj") {
        found = matrices(named: part)
        if found.isEmpty, let whole = Self.fusedModules[module] { found = matrices(named: whole) }
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

  private func matrices(named part: String) -> [Int] {
    matrices.indices.filter { index in
      matrices[index].name.split(separator: ".").contains { $0.utf8.elementsEqual(part.utf8) }
    }
  }

  /// By a projection's own name, that of the matrix that holds it where a checkpoint fuses it with others.
  private static let fusedModules = [
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
  ]
}
