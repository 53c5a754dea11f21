import Engines
import Experts
import Glibc
import ModelFormats
import Multipliers
import Results
import SystemSupport
import Transformer
import WorkerProtocol

extension LoadedModel {
  /// Writes what somebody takes away; the file is there whole or not at all.
  func answer(_ call: ExportCall) throws(WorkerFault) -> ExportAnswer {
    let vector: MultiplierVector
    switch try view(call.weights) {
    case .base: vector = .ones(model.layout.count)
    case .factored(let mixed): vector = mixed
    case .prepared: preconditionFailure("what somebody takes away was not made ready for an engine")
    }
    let digest = vector.digest(in: model.layout).description
    do {
      guard let rank = call.rank else {
        // It is read again as any expert is, which must have a name.
        let file = MixtureFile(name: "export", task: nil, vector: vector, model: try signature, parents: [])
        try file.write(to: call.path)
        return ExportAnswer(digest: digest)
      }
      return ExportAnswer(digest: digest, fit: try writeLoRA(vector, rank: rank, to: call.path))
    } catch let fault as WorkerFault {
      throw fault
    } catch {
      _ = try? FileSystem.remove(call.path)
      throw WorkerFault(.files, "cannot write what is exported: \(error)", retry: true)
    }
  }

  /// The factors of every matrix, a few at a time: together they may be larger than the model.
  private func writeLoRA(_ vector: MultiplierVector, rank: Int, to path: String) throws -> LowRankFit {
    guard let model = model as? LanguageModel else {
      throw WorkerFault(
        .unsupported,
        "a LoRA is cut from the weights, which the engine '\(model.facts.tag.name)' has read and t2d has not; add the model a "
          + "second time by its path, under another name, and export from there")
    }
    let matrices = model.layout.matrices
    let order = matrices.indices.map { ($0, AdapterFiles.factorNames(of: matrices[$0])) }
      .sorted { $0.1.a.utf8.lexicographicallyPrecedes($1.1.a.utf8) }
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
    var writer = try SafetensorsStream(
      to: file,
      shapes: order.flatMap { index, names in
        [(names.a, [rank, matrices[index].columns]), (names.b, [matrices[index].rows, rank])]
      })
    var sum = LowRankSum(rank: rank)
    for first in stride(from: 0, to: order.count, by: model.pool.threadCount) {
      let part = order[first..<min(first + model.pool.threadCount, order.count)].map(\.0)
      for cut in model.lowRankCuts(of: vector, matrices: part, rank: rank) {
        sum.add(cut)
        try writer.write(cut.a)
        try writer.write(cut.b)
      }
    }
    writer.finish()
    try file.synchronize()
    return sum.fit
  }
}

/// What the cuts of all matrices come to.
private struct LowRankSum {
  private let rank: Int
  private var components = 0
  private var (missed, all) = (0.0, 0.0)
  private var shares: [Double] = []

  init(rank: Int) { self.rank = rank }

  mutating func add(_ cut: LowRankCut) {
    components = max(components, cut.components)
    let energy = cut.keptEnergy + cut.missedEnergy
    missed += cut.missedEnergy
    all += energy
    if energy > 0 { shares.append(cut.keptEnergy / energy) }
  }

  var fit: LowRankFit {
    LowRankFit(
      rank: rank, components: components, relativeError: all > 0 ? (missed / all).squareRoot() : 0,
      energyMean: shares.isEmpty ? 1 : shares.reduce(0, +) / Double(shares.count), energyLeast: shares.min() ?? 1)
  }
}
