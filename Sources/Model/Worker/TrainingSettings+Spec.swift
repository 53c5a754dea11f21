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
  /// The matrices that are to be trained: those of the modules in the range of layers; where none are named, all that have
  /// multipliers.
  func matrices(of settings: TrainingSettings) throws(WorkerFault) -> [Int] {
    var chosen: [Int]
    do throws(UnknownModule) { chosen = try matrices(ofModules: settings.modules) } catch {
      throw WorkerFault(error)
    }
    // A comparison by LoRA adds to W itself.
    if settings.method == .svf {
      if let other = chosen.first(where: { !matrices[$0].isFactored }), !settings.modules.isEmpty {
        throw WorkerFault(
          .badRequest,
          "'\(matrices[other].name)' has no multipliers to train: of this model only "
            + "\((factoredModules ?? []).joined(separator: ", ")) are factored; train those, or add the model again with "
            + "more modules")
      }
      chosen = chosen.filter { matrices[$0].isFactored }
    }
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
}
