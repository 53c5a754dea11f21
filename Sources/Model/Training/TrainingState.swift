import Digests
import ModelFormats
import Records
package import Results
import StrictJSON

/// All that a training is between two steps. Saved and read back it goes on with the same bits.
package struct TrainingState: Sendable, Equatable {
  /// What everything depends on; a state of another training is not gone on with.
  package let identity: String
  package internal(set) var parameters: [Float]
  package internal(set) var optimizer: AdamW
  /// The parameters of the best validation.
  package internal(set) var best: [Float]
  package internal(set) var bestStep = 0
  package internal(set) var curve: [CurvePoint] = []
  /// Which parameters are trained, once they were chosen; nil where none are chosen.
  package internal(set) var chosen: [Bool]?

  package var step: Int { optimizer.steps }

  /// - Parameters:
  ///   - parameters: the base's.
  ///   - origin: what each of them is, towards which the decay pulls.
  package init(identity: String, parameters: [Float], decay: Double, origin: Float) {
    self.identity = identity
    self.parameters = parameters
    best = parameters
    optimizer = AdamW(count: parameters.count, decay: decay, origin: origin)
  }

  package var validations: [CurvePoint] { curve.filter { $0.validation != nil } }
  package var bestValidation: Standing? { curve.first { $0.step == bestStep }?.validation }

  // MARK: - saved

  private struct Facts: Codable {
    var step: Int
    var decay: Double
    var origin: Float
    var bestStep: Int
    var curve: [CurvePoint]
  }

  /// A safetensors file: the numbers as tensors, which keeps their bits, the rest as JSON in its metadata.
  package var bytes: [UInt8] {
    var numbers = [
      ("parameters", parameters), ("first", optimizer.first), ("second", optimizer.second), ("best", best),
    ]
    if let chosen { numbers.append(("chosen", chosen.map { $0 ? 1 : 0 })) }
    let tensors = numbers.map { SafetensorsTensor(name: $0.0, shape: [$0.1.count], values: $0.1) }
    let facts = Facts(
      step: step, decay: optimizer.decay, origin: optimizer.origin, bestStep: bestStep, curve: curve)
    let text = RecordWriter.json(facts).jsonText
    return safetensorsBytes(
      tensors: tensors,
      metadata: [
        ("t2.training", identity), ("t2.training.state", text),
        ("t2.training.sum", Self.sum(of: tensors.map(\.values), text)),
      ])
  }

  /// SHA-256 of the numbers and of what else is kept, in the order in which they are written.
  private static func sum(of numbers: [[Float]], _ facts: String) -> String {
    var hash = SHA256()
    for values in numbers { unsafe values.withUnsafeBytes { unsafe hash.update($0) } }
    hash.update(facts)
    return hash.finish().description
  }

  /// What lies where a state is saved.
  package enum Saved {
    case whole(TrainingState)
    /// Nothing, or the state of another training.
    case missing
    case damaged
  }

  /// Reads what an interrupted run left. Our own file: its curve may be long, and the adapters of a large model are.
  package static func read(_ path: String, identity: String) -> Saved {
    let file: SafetensorsFile
    do throws(SafetensorsError) {
      file = try SafetensorsFile.open(path: path, rules: .model)
    } catch {
      if case .system = error { return .missing }
      return .damaged
    }
    let known = file.metadata.first { $0.key == "t2.training" }?.value
    guard known == nil || known == identity else { return .missing }
    return Self(file, identity: identity).map { .whole($0) } ?? .damaged
  }

  /// Nil where it is not that of this training, or damaged.
  init?(_ file: SafetensorsFile, identity: String) {
    let entries = Dictionary(file.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    guard entries["t2.training"] == identity, let text = entries["t2.training.state"], let json = try? parseJSON(text),
      let facts = try? RecordReader(unknownMembers: .ignored).read(json, as: Facts.self),
      let parameters = try? file.floats("parameters"), let first = try? file.floats("first"),
      let second = try? file.floats("second"), let best = try? file.floats("best"), first.count == parameters.count,
      second.count == parameters.count, best.count == parameters.count
    else { return nil }
    // A state of a version that kept no sum is believed.
    let sum = entries["t2.training.sum"]
    let chosen = try? file.floats("chosen")
    let numbers = [parameters, first, second, best] + (chosen.map { [$0] } ?? [])
    guard sum == nil || sum == Self.sum(of: numbers, text), chosen.map({ $0.count == parameters.count }) ?? true else {
      return nil
    }
    self.chosen = chosen.map { $0.map { $0 != 0 } }
    self.identity = identity
    self.parameters = parameters
    self.best = best
    bestStep = facts.bestStep
    optimizer = AdamW(first: first, second: second, steps: facts.step, decay: facts.decay, origin: facts.origin)
    curve = facts.curve
    // A point for the base and one for each step.
    guard curve.map(\.step) == Array(curve.indices), curve.count - 1 == step, bestValidation != nil else { return nil }
  }
}
